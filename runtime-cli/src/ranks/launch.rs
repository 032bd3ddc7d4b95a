//! How this process was started: alone, or as one rank of several by torchrun, mpirun, mpiexec or srun.

use super::slurm::first_node;
use anyhow::{Result, anyhow, bail};
use std::fmt::Write;

/// The variables of a launcher.
struct Family {
    /// The launcher, for messages.
    name: &'static str,
    rank: &'static str,
    size: &'static str,
}

const TORCHRUN: Family = Family { name: "torchrun", rank: "RANK", size: "WORLD_SIZE" };
const OPEN_MPI: Family = Family { name: "mpirun", rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE" };
const PMI: Family = Family { name: "mpiexec", rank: "PMI_RANK", size: "PMI_SIZE" };
const SLURM: Family = Family { name: "srun", rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS" };

/// Step ids from here on are not of `srun`: the batch script, the shell of `salloc`, and others.
const SPECIAL_STEPS: u32 = 0xffff_fff0;
/// Ports for the steps of SLURM, where the environment names none.
const SLURM_PORTS: (u64, u64) = (12_000, 16_000);

/// One process of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launch {
    /// Its number.
    pub rank: usize,
    /// Number of processes.
    pub size: usize,
    /// How they find each other.
    pub rendezvous: Rendezvous,
}

/// How the processes of a run find each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rendezvous {
    /// There is one only.
    Alone,
    /// Through MPI.
    Mpi,
    /// Through a port of rank 0.
    Tcp {
        /// Host of rank 0.
        host: String,
        /// The port, or the first of several that it may have.
        port: u16,
        /// Tells runs on one machine apart.
        run: String,
    },
}

/// Variables by name; the empty ones count as absent.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        let parse = |value: String| {
            value.parse().map_err(|_| anyhow!("{name} is {value:?}, which is not a number; let the launcher set it, or unset it"))
        };
        self.text(name).map(parse).transpose()
    }

    /// Rank and number of ranks, both of them or neither.
    fn ranks(&self, family: &Family) -> Result<Option<[usize; 2]>> {
        let Family { name, rank, size } = family;
        match (self.number(rank)?, self.number(size)?) {
            (None, None) => Ok(None),
            (Some(_), None) => bail!("{rank} is set but {size} is not: let {name} set both, or unset {rank}"),
            (None, Some(_)) => bail!("{size} is set but {rank} is not: let {name} set both, or unset {size}"),
            (Some(r), Some(s)) if r >= s => {
                bail!("{rank} is {r} but {size} is {s}: ranks count from 0, so let {name} set both, or unset both")
            }
            (Some(r), Some(s)) => Ok(Some([r, s])),
        }
    }

    /// The number of a step of `srun`; `None` in the shells of `sbatch` and `salloc`.
    fn step(&self) -> Result<Option<usize>> {
        Ok(self.number("SLURM_STEP_ID")?.filter(|&step| step < SPECIAL_STEPS as usize))
    }
}

impl Launch {
    /// One process by itself.
    const ALONE: Self = Self { rank: 0, size: 1, rendezvous: Rendezvous::Alone };

    /// From the environment of this process.
    ///
    /// # Errors
    /// Variables of a launcher that are incomplete or contradict each other.
    pub fn detect() -> Result<Self> {
        Self::of(&|name| std::env::var(name).ok(), cfg!(feature = "mpi"))
    }

    /// From these variables, in a build with MPI or without.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    fn of(variables: &dyn Fn(&str) -> Option<String>, with_mpi: bool) -> Result<Self> {
        let v = Variables(variables);
        let torchrun = v.ranks(&TORCHRUN)?;
        if torchrun.is_none() && v.text("LOCAL_RANK").is_some() {
            bail!("LOCAL_RANK is set but RANK and WORLD_SIZE are not: let torchrun set all three, or unset LOCAL_RANK");
        }
        let [open_mpi, pmi] = [v.ranks(&OPEN_MPI)?, v.ranks(&PMI)?];
        let slurm = v.slurm()?;
        // Under torchrun, the variables of what started torchrun itself count its own processes.
        let nested = v.text("TORCHELASTIC_RUN_ID").is_some() && torchrun.is_some();
        // Likewise, MPI starts its daemons as a step of SLURM.
        let of_slurm = slurm.filter(|_| open_mpi.is_none() && pmi.is_none());
        let families = [(&TORCHRUN, torchrun), (&OPEN_MPI, open_mpi), (&PMI, pmi), (&SLURM, of_slurm)];
        let mut found = families.into_iter().filter_map(|(family, ranks)| Some((family, ranks?)));
        let Some((family, [rank, size])) = found.next() else { return Ok(Self::ALONE) };
        if let Some((other, [r, s])) = found.find(|(_, ranks)| !nested && *ranks != [rank, size]) {
            bail!(
                "{} and {} are {rank} and {size}, but {} and {} are {r} and {s}: unset those of the launcher that did not start this process",
                family.rank,
                family.size,
                other.rank,
                other.size
            );
        }
        if size == 1 {
            return Ok(Self::ALONE);
        }
        let of_mpi = open_mpi.is_some() || pmi.is_some() || (slurm.is_some() && v.text("PMIX_RANK").is_some());
        let rendezvous = if torchrun.is_some() {
            v.torchrun()?
        } else if of_mpi && with_mpi {
            Rendezvous::Mpi
        } else if slurm == Some([rank, size]) {
            v.slurm_rendezvous(size)?
        } else if v.text("MASTER_ADDR").is_some() && v.text("MASTER_PORT").is_some() {
            v.torchrun()?
        } else {
            bail!(
                "{} started {size} processes, but hh-runtime was built without MPI: build with --features mpi, start it with torchrun or \
                 srun, or export MASTER_ADDR and MASTER_PORT, the host of rank 0 and a free port there",
                family.name
            )
        };
        Ok(Self { rank, size, rendezvous })
    }

    /// What a user of SLURM may have forgotten, as a sentence.
    pub fn note() -> Option<String> {
        let tasks: usize = std::env::var("SLURM_NTASKS").ok()?.parse().ok()?;
        let step = Variables(&|name| std::env::var(name).ok()).step().ok()?;
        (tasks > 1 && step.is_none())
            .then(|| format!("one process, although SLURM_NTASKS is {tasks}: `srun hh-runtime train …` starts one for each task"))
    }
}

impl Variables<'_> {
    /// Rank and number of ranks of a step of `srun`.
    fn slurm(&self) -> Result<Option<[usize; 2]>> {
        if self.step()?.is_some() {
            // Older versions of SLURM have one of the two.
            let tasks = if self.text(SLURM.size).is_some() { SLURM.size } else { "SLURM_NTASKS" };
            return match self.ranks(&Family { size: tasks, ..SLURM })? {
                None => bail!("SLURM_STEP_ID is set but SLURM_PROCID and SLURM_NTASKS are not: let srun set all, or unset SLURM_STEP_ID"),
                ranks => Ok(ranks),
            };
        }
        match self.number(SLURM.rank)? {
            // The first task of a script, which is the only one.
            None | Some(0) => Ok(None),
            Some(rank) => bail!("SLURM_PROCID is {rank} but SLURM_STEP_ID is not set: let srun set both, or unset SLURM_PROCID"),
        }
    }

    fn port(&self) -> Result<Option<u16>> {
        match self.number("MASTER_PORT")? {
            None => Ok(None),
            Some(port) => match u16::try_from(port) {
                Ok(port) if port > 0 => Ok(Some(port)),
                _ => bail!("MASTER_PORT is {port}; a port is between 1 and 65535"),
            },
        }
    }

    /// The rendezvous of `env://` in PyTorch.
    fn torchrun(&self) -> Result<Rendezvous> {
        let (host, port) = match (self.text("MASTER_ADDR"), self.port()?) {
            (Some(host), Some(port)) => (host, port),
            (None, _) => bail!("MASTER_ADDR is not set: let torchrun set it, or export the host name of rank 0"),
            (_, None) => bail!("MASTER_PORT is not set: let torchrun set it, or export a free port of rank 0"),
        };
        // The agent of torchrun listens on the port itself, for PyTorch's store.
        let taken = self.text("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True");
        let port = if taken { port.checked_add(1).unwrap_or(port - 1) } else { port };
        Ok(Rendezvous::Tcp { host, port, run: self.run(&["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"]) })
    }

    /// The first node of the step, and a port that depends on the job and the step; `MASTER_ADDR` and `MASTER_PORT` override them.
    fn slurm_rendezvous(&self, size: usize) -> Result<Rendezvous> {
        let lists = ["SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST"];
        let listed = || lists.iter().find_map(|name| self.text(name)).and_then(|list| first_node(&list));
        let Some(host) = self.text("MASTER_ADDR").or_else(listed) else {
            bail!("SLURM started {size} processes, but SLURM_NODELIST names no node: export MASTER_ADDR, the host name of rank 0")
        };
        let ids = ["SLURM_JOB_ID", "SLURM_STEP_ID"];
        let number = |name| Ok::<_, anyhow::Error>(self.number(name)?.unwrap_or_default() as u64);
        let (first, count) = SLURM_PORTS;
        let port = first + (number(ids[0])?.wrapping_mul(64).wrapping_add(number(ids[1])?.wrapping_mul(8))) % count;
        Ok(Rendezvous::Tcp { host, port: self.port()?.unwrap_or(port as u16), run: self.run(&ids) })
    }

    /// A text that only the processes of one run have in common.
    fn run(&self, names: &[&str]) -> String {
        names.iter().filter_map(|name| self.text(name)).fold(String::new(), |mut all, id| {
            let _ = write!(all, "/{id}");
            all
        })
    }
}

#[cfg(test)]
mod tests;
