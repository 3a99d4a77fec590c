//! Counts what a run of a program under callgrind executes, all its threads together.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail, ensure};

/// Instructions of the program with these arguments, from its start to its end.
///
/// The environment is emptied, because its size moves the stack.
///
/// # Errors
/// When valgrind is missing, or the program fails under it.
pub fn count(program: &Path, args: &[&str]) -> anyhow::Result<u64> {
    let kept = ["PATH", "TMPDIR"].into_iter().filter_map(|key| Some((key, env::var_os(key)?)));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(args);
    command.env_clear().envs(kept).stdin(Stdio::null());
    let output = command.output().context("valgrind: `make bench-check` installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {}: {}\n{said}", program.display(), args.join(" "), output.status);
    collected(&said).with_context(|| format!("callgrind did not say what it counted:\n{said}"))
}

/// The versions that decide what is counted.
///
/// # Errors
/// When one is missing.
pub fn tools() -> anyhow::Result<String> {
    Ok(format!("{}, {}", version("rustc")?, version("valgrind")?))
}

fn version(program: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output().with_context(|| program.to_owned())?;
    if !output.status.success() {
        bail!("{program} --version: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// From callgrind's last lines: `==123== Collected : 456`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Callgrind, a call-graph\n==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==7== Collected : \n"), None);
        assert_eq!(collected("valgrind: unrecognised instruction"), None);
    }
}
