//! What ranks tell each other beside gradients: small things, in the order of the ranks.

use anyhow::{Result, bail};
use hh_core::backend::Device;
use hh_core::collective::Collective;
use hh_core::error::Error;
use hh_core::train::Losses;
use sha2::{Digest, Sha256};

/// The bytes of each rank, of one length on all of them.
///
/// # Errors
/// A rank that cannot be reached.
pub fn gather<B: Device>(ranks: &mut impl Collective<B>, own: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let rank = ranks.rank();
    (0..ranks.size())
        .map(|root| {
            let mut bytes = if root == rank { own.to_vec() } else { vec![0; own.len()] };
            ranks.broadcast(root, &mut bytes).map(|()| bytes)
        })
        .collect()
}

/// Whether the flag is set on any rank.
///
/// # Errors
/// A rank that cannot be reached.
pub fn any<B: Device>(ranks: &mut impl Collective<B>, flag: bool) -> Result<bool, Error> {
    Ok(gather(ranks, &[flag.into()])?.iter().any(|bytes| bytes[0] != 0))
}

/// The text of rank 0.
///
/// # Errors
/// A rank that cannot be reached.
pub fn broadcast_text<B: Device>(ranks: &mut impl Collective<B>, text: &str) -> Result<String, Error> {
    let mut len = (text.len() as u64).to_le_bytes();
    ranks.broadcast(0, &mut len)?;
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(u64::from_le_bytes(len) as usize, 0);
    ranks.broadcast(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Checks that all ranks have the same facts, which are named: "program", "text".
///
/// # Errors
/// A rank with another fact than rank 0, and a rank that cannot be reached.
pub fn require_equal<B: Device>(ranks: &mut impl Collective<B>, facts: &[(&str, String)]) -> Result<()> {
    let own: Vec<u8> = facts.iter().flat_map(|(_, fact)| Sha256::digest(fact)).collect();
    let all = gather(ranks, &own)?;
    for (rank, theirs) in all.iter().enumerate() {
        let other = theirs.chunks(32).zip(all[0].chunks(32)).position(|(a, b)| a != b);
        if let Some((name, own)) = other.and_then(|i| facts.get(i)) {
            let shown = if own.len() < 60 && ranks.rank() == rank { format!(" ({own})") } else { String::new() };
            bail!("rank {rank} has another {name}{shown} than rank 0; all ranks need the same");
        }
    }
    Ok(())
}

/// Losses of `count` batches with the weights and with their average, each computed by one rank, added in the order of the
/// batches: the bits do not depend on the number of ranks. `None` if `stop`, called before each batch, returns true on a rank.
///
/// # Errors
/// Those of `losses`, and a rank that cannot be reached.
pub fn shared_out<B: Device>(
    ranks: &mut impl Collective<B>,
    count: u64,
    stop: &dyn Fn() -> bool,
    mut losses: impl FnMut(u64) -> Result<[Losses; 2]>,
) -> Result<Option<[Losses; 2]>> {
    let (rank, size) = (ranks.rank() as u64, ranks.size() as u64);
    let mut own = Vec::new();
    for round in 0..count.div_ceil(size) {
        if any(ranks, stop())? {
            return Ok(None);
        }
        let index = round * size + rank;
        own.extend(if index < count { losses(index)? } else { Default::default() });
    }
    Ok(Some(in_order(ranks, &own)?.chunks_exact(2).take(count as usize).fold(Default::default(), |[mut plain, mut average], pair| {
        plain.add(&pair[0]);
        average.add(&pair[1]);
        [plain, average]
    })))
}

/// The losses of all ranks, the same number on each: pairs of them, rank after rank and round after round.
fn in_order<B: Device>(ranks: &mut impl Collective<B>, own: &[Losses]) -> Result<Vec<Losses>, Error> {
    let all: Vec<Vec<Losses>> = gather_losses(ranks, own)?;
    Ok((0..own.len() / 2).flat_map(|round| all.iter().flat_map(move |losses| losses[2 * round..][..2].to_vec())).collect())
}

/// The losses of each rank, the same number on each.
///
/// # Errors
/// A rank that cannot be reached.
pub(crate) fn gather_losses<B: Device>(ranks: &mut impl Collective<B>, own: &[Losses]) -> Result<Vec<Vec<Losses>>, Error> {
    let numbers = |l: &Losses| [l.nll, l.z, l.smooth, l.flow, l.cosine, l.pairs].map(f64::to_bits).into_iter().chain([l.count]);
    let bytes: Vec<u8> = own.iter().flat_map(numbers).flat_map(u64::to_le_bytes).collect();
    let losses = |bytes: &Vec<u8>| {
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
        let of = |words: &[u64; 7]| {
            let [nll, z, smooth, flow, cosine, pairs, count] = *words;
            let [nll, z, smooth, flow, cosine, pairs] = [nll, z, smooth, flow, cosine, pairs].map(f64::from_bits);
            Losses { nll, z, smooth, flow, cosine, pairs, count }
        };
        words.as_chunks::<7>().0.iter().map(of).collect()
    };
    Ok(gather(ranks, &bytes)?.iter().map(losses).collect())
}
