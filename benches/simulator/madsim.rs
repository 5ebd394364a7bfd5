//! madsim: a program of its own, as the flag `--cfg madsim` changes every crate that it is built of.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, result};

use p2p_benches::{Result, measure_dir};

use crate::meter::Plan;

/// Measures a metric in a process of that program, which is built when it is first asked for.
pub(crate) fn measure(metric: &str, plan: Plan) -> Result<Vec<f64>> {
    static PROGRAM: OnceLock<result::Result<PathBuf, String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| build().map_err(|error| error.to_string())).clone()?;
    let mut command = Command::new(program);
    command.arg(metric).arg(plan.window.as_millis().to_string()).stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("its program ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn build() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("madsim/Cargo.toml");
    // A folder of its own, or the flag would have all else built anew.
    let target = measure_dir().with_file_name("madsim");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    command.arg("--target-dir").arg(&target).env("RUSTFLAGS", "--cfg madsim");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = command.status()?;
    if !status.success() {
        return Err(format!("its program could not be built: cargo ended with {status}").into());
    }
    Ok(target.join("release").join("p2p-bench-madsim"))
}
