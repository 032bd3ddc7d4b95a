//! Work that repeats: queued kernel by kernel the first time, recorded the second, and one launch from then on.

use crate::{Cuda, launch::Graph};

/// What a [`Cuda`] keeps of work that repeats.
///
/// The first time scratch grows, kernels are compiled and products planned; recording allows none of this. A recording
/// holds addresses, so that it is dropped where the device's memory has been given back since: scratch that has grown, a tensor that is
/// gone. The work is queued kernel by kernel then, and recorded anew the next time.
#[derive(Default)]
pub struct Recording(Stage);

#[derive(Default)]
enum Stage {
    #[default]
    New,
    /// All that the work needs is there.
    Known,
    Kept(Graph),
}

/// Queues the work, or what was recorded of it.
pub(crate) fn repeat(b: &mut Cuda, recording: &mut Recording, work: impl FnOnce(&mut Cuda)) {
    if b.eager || b.error.is_some() {
        return work(b);
    }
    match std::mem::take(&mut recording.0) {
        Stage::Kept(graph) if !graph.stale() => replay(b, recording, graph),
        Stage::Known => {
            if let Some(graph) = record(b, work) {
                replay(b, recording, graph);
            }
        }
        Stage::New | Stage::Kept(_) => {
            work(b);
            recording.0 = Stage::Known;
        }
    }
}

fn replay(b: &mut Cuda, recording: &mut Recording, graph: Graph) {
    let outcome = graph.replay();
    b.check(outcome);
    b.replays += 1;
    recording.0 = Stage::Kept(graph);
}

/// None where there was a fault, which is noted.
fn record(b: &mut Cuda, work: impl FnOnce(&mut Cuda)) -> Option<Graph> {
    let device = b.device.clone();
    let settled = b.scratch.settle(&device);
    b.check(settled)?;
    let graph = Graph::record(&device, || work(b));
    let graph = b.check(graph)?;
    b.error.is_none().then_some(graph)
}
