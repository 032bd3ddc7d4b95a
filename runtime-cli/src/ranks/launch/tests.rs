use super::*;

/// The launch that lines of `NAME=value` give.
fn launch(lines: &str, with_mpi: bool) -> Result<Launch> {
    let all: Vec<(String, String)> = lines
        .split_whitespace()
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("a name and a value"))
        .collect();
    Launch::of(&|name| all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()), with_mpi)
}

fn tcp(rank: usize, size: usize, host: &str, port: u16, run: &str) -> Launch {
    Launch { rank, size, rendezvous: Rendezvous::Tcp { host: host.to_owned(), port, run: run.to_owned() } }
}

#[test]
fn each_launcher_is_understood() {
    let torchrun = "RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 MASTER_ADDR=a MASTER_PORT=29500";
    let agent = "TORCHELASTIC_RUN_ID=none TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_USE_AGENT_STORE=True";
    let open_mpi = "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_LOCAL_RANK=1 PMIX_RANK=1";
    let slurm = "SLURM_JOB_ID=5 SLURM_STEP_ID=1 SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 SLURM_LOCALID=1 SLURM_NODELIST=n[3-4]";
    let mpi = |rank, size| Launch { rank, size, rendezvous: Rendezvous::Mpi };
    for (lines, with_mpi, expected) in [
        (torchrun.to_owned(), true, tcp(1, 2, "a", 29500, "")),
        (format!("{torchrun} {agent}"), false, tcp(1, 2, "a", 29501, "/none/0")),
        (open_mpi.to_owned(), true, mpi(1, 3)),
        ("PMI_RANK=0 PMI_SIZE=2".to_owned(), true, mpi(0, 2)),
        (format!("{open_mpi} MASTER_ADDR=a MASTER_PORT=7"), false, tcp(1, 3, "a", 7, "")),
        (slurm.to_owned(), false, tcp(1, 2, "n3", 12_328, "/5/1")),
        (slurm.to_owned(), true, tcp(1, 2, "n3", 12_328, "/5/1")),
        (format!("{slurm} PMIX_RANK=1"), true, mpi(1, 2)),
        (format!("{slurm} PMI_RANK=1 PMI_SIZE=2"), false, tcp(1, 2, "n3", 12_328, "/5/1")),
        (format!("{slurm} MASTER_ADDR=b MASTER_PORT=9"), false, tcp(1, 2, "b", 9, "/5/1")),
        // A script that srun starts and that sets the variables of PyTorch, and torchrun as a task of srun.
        (format!("{slurm} {torchrun}"), true, tcp(1, 2, "a", 29500, "")),
        (format!("{slurm} RANK=3 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=29500 {agent}"), true, tcp(3, 4, "a", 29501, "/none/0")),
        // mpirun within a job of SLURM, whose daemons are a step.
        (format!("{slurm} OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4"), true, mpi(2, 4)),
    ] {
        assert_eq!(launch(&lines, with_mpi).unwrap(), expected, "{lines}");
    }
}

#[test]
fn a_process_that_no_launcher_started_is_alone() {
    for lines in [
        "",
        "RANK= WORLD_SIZE=",
        "RANK=0 WORLD_SIZE=1",
        "MASTER_ADDR=a MASTER_PORT=29500",
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1",
        // The script of sbatch, the shell of salloc, and the same as a step of its own.
        "SLURM_JOB_ID=5 SLURM_NTASKS=4 SLURM_NPROCS=4 SLURM_JOB_NODELIST=n[1-2] SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0",
        "SLURM_JOB_ID=5 SLURM_NTASKS=4 SLURM_JOB_NODELIST=n[1-2]",
        "SLURM_JOB_ID=5 SLURM_NTASKS=4 SLURM_STEP_ID=4294967290 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0",
        "SLURM_JOB_ID=5 SLURM_NTASKS=4 SLURM_STEP_ID=4294967291 SLURM_PROCID=0",
    ] {
        for with_mpi in [false, true] {
            assert_eq!(launch(lines, with_mpi).unwrap(), Launch::ALONE, "{lines}");
        }
    }
}

#[test]
fn an_environment_that_is_half_set_or_mixed_is_refused() {
    let step = "SLURM_JOB_ID=5 SLURM_STEP_ID=0";
    for (lines, said) in [
        ("RANK=0".to_owned(), "RANK is set but WORLD_SIZE is not"),
        ("WORLD_SIZE=2".to_owned(), "WORLD_SIZE is set but RANK is not"),
        ("LOCAL_RANK=0".to_owned(), "LOCAL_RANK is set but RANK"),
        ("RANK=2 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1".to_owned(), "RANK is 2 but WORLD_SIZE is 2"),
        ("RANK=x WORLD_SIZE=2".to_owned(), "RANK is \"x\", which is not a number"),
        ("RANK=0 WORLD_SIZE=2 MASTER_PORT=1".to_owned(), "MASTER_ADDR is not set"),
        ("RANK=0 WORLD_SIZE=2 MASTER_ADDR=a".to_owned(), "MASTER_PORT is not set"),
        ("RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=70000".to_owned(), "MASTER_PORT is 70000"),
        ("OMPI_COMM_WORLD_RANK=0".to_owned(), "OMPI_COMM_WORLD_SIZE is not"),
        ("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2".to_owned(), "built without MPI"),
        ("PMI_SIZE=2".to_owned(), "PMI_RANK is not"),
        ("SLURM_PROCID=1 SLURM_NTASKS=2".to_owned(), "SLURM_STEP_ID is not set"),
        (step.to_owned(), "SLURM_PROCID and SLURM_NTASKS are not"),
        (format!("{step} SLURM_PROCID=0"), "SLURM_NTASKS is not"),
        (format!("{step} SLURM_NTASKS=2"), "SLURM_PROCID is not"),
        (format!("{step} SLURM_PROCID=0 SLURM_NTASKS=2"), "SLURM_NODELIST names no node"),
        (format!("{step} SLURM_PROCID=1 SLURM_NTASKS=2 RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1"), "SLURM_PROCID and"),
        (
            "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1".to_owned(),
            "RANK and WORLD_SIZE are 1 and 2",
        ),
        ("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 PMI_RANK=0 PMI_SIZE=4".to_owned(), "PMI_RANK and PMI_SIZE are 0 and 4"),
    ] {
        let error = launch(&lines, false).unwrap_err().to_string();
        assert!(error.contains(said), "{lines}: {error}");
    }
}
