//! Completions and manual pages, made from the command line itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

/// Prints completions for this shell.
pub(super) fn completions(
    shell: clap_complete::Shell,
    mut command: clap::Command,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "sealgate", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `sealgate.1`, and a page for each command, or prints the first.
pub(super) fn pages(folder: Option<&Path>, command: clap::Command) -> anyhow::Result<ExitCode> {
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            clap_mangen::generate_to(command, folder).with_context(|| folder.display().to_string())?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::Write::write_all(&mut std::io::stdout(), &page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
