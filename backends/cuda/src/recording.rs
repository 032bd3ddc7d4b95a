//! Repeated work: the first run launches kernels, the second records a CUDA graph, later ones launch the graph.

use crate::{Cuda, launch::Graph};

/// The recorded CUDA graph of repeated work.
///
/// The first run grows scratch memory, compiles kernels and plans matrix products, none of which is possible during recording.
/// A recording contains addresses: it is dropped if device memory has been freed since, such as outgrown scratch or a tensor.
/// Then the next run launches kernels again, and the one after it records a new graph.
#[derive(Default)]
pub struct Recording(Stage);

#[derive(Default)]
enum Stage {
    #[default]
    New,
    /// The work has run once.
    Prepared,
    Recorded(Graph),
}

/// Runs the work, or its recorded graph.
pub(crate) fn repeat(b: &mut Cuda, recording: &mut Recording, work: impl FnOnce(&mut Cuda)) {
    if b.eager || b.error.is_some() {
        return work(b);
    }
    match std::mem::take(&mut recording.0) {
        Stage::Recorded(graph) if !graph.stale() => replay(b, recording, graph),
        Stage::Prepared => {
            if let Some(graph) = record(b, work) {
                replay(b, recording, graph);
            }
        }
        Stage::New | Stage::Recorded(_) => {
            work(b);
            recording.0 = Stage::Prepared;
        }
    }
}

fn replay(b: &mut Cuda, recording: &mut Recording, graph: Graph) {
    let outcome = graph.replay();
    b.check(outcome);
    b.replays += 1;
    recording.0 = Stage::Recorded(graph);
}

/// `None` on an error, which is stored.
fn record(b: &mut Cuda, work: impl FnOnce(&mut Cuda)) -> Option<Graph> {
    let device = b.device.clone();
    let settled = b.scratch.settle(&device);
    b.check(settled)?;
    let graph = Graph::record(&device, || work(b));
    let graph = b.check(graph)?;
    b.error.is_none().then_some(graph)
}
