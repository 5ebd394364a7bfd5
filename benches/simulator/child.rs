//! What this program does when it starts itself again: one thing, in a fresh process.

use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::{env, fmt};

use p2p_benches::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::meter::Plan;
use crate::seeds;
use crate::trials::{TRIALS, Trial};
use crate::wire::{Conn, Raw};

/// What a child does.
#[derive(Clone, Copy)]
pub(crate) enum Task {
    Trial { trial: &'static Trial, contestant: &'static str },
    Hashes,
    ConnHashes,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial { trial, contestant } => write!(f, "{contestant}:{}", trial.name()),
            Self::Hashes => write!(f, "hashes"),
            Self::ConnHashes => write!(f, "conn_hashes"),
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(task: &str) -> Result<Self> {
        let unknown = || format!("no task {task:?}");
        match task {
            "hashes" => return Ok(Self::Hashes),
            "conn_hashes" => return Ok(Self::ConnHashes),
            _ => {}
        }
        let (contestant, trial) = task.split_once(':').ok_or_else(unknown)?;
        let trial = TRIALS.iter().find(|known| known.name() == trial).ok_or_else(unknown)?;
        let contestant = trial.contestants().find(|name| *name == contestant);
        Ok(Self::Trial { trial, contestant: contestant.ok_or_else(unknown)? })
    }
}

impl Task {
    /// Does it here, and prints what came of it.
    pub(crate) fn answer(self, plan: Plan) -> Result<()> {
        match self {
            Self::Trial { trial, contestant } => print(&trial.run(contestant, plan)?),
            Self::Hashes => print(&seeds::hashes::<Raw>(plan.seeds)?),
            Self::ConnHashes => print(&seeds::hashes::<Conn>(plan.seeds)?),
        }
    }
}

fn print(values: &[impl Serialize]) -> Result<()> {
    println!("{}", serde_json::to_string(values)?);
    Ok(())
}

/// Starts a process that does it.
pub(crate) fn start(task: Task, plan: Plan) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--task").arg(task.to_string());
    if plan.quick {
        command.arg("--quick");
    }
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

/// What a child printed, when it has ended. It has told of an error by itself.
pub(crate) fn expect_answer<T: DeserializeOwned>(child: Child) -> Result<Vec<T>> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the process that measures it ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
