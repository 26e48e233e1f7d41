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

#[cfg(test)]
mod tests {
    use super::super::command;

    /// What a line of the page calls a command: `sealgate user create`, `list`, … in one cell.
    fn is_told(page: &str, parent: &str, child: &str) -> bool {
        page.lines().any(|line| {
            let cell = line.split(" | ").next().unwrap_or_default();
            let mut spans = cell.split('`').skip(1).step_by(2);
            spans.clone().any(|span| span.starts_with(&format!("sealgate {parent}")))
                && spans.any(|span| span.split(' ').any(|word| word == child))
        })
    }

    #[test]
    fn the_guide_has_every_command_and_each_says_what_it_does() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/commands.md")).unwrap();
        for outer in command().get_subcommands() {
            let name = outer.get_name();
            assert!(page.contains(&format!("sealgate {name}")), "docs/commands.md lacks sealgate {name}");
            assert!(outer.get_about().is_some(), "sealgate {name} does not say what it does");
            for inner in outer.get_subcommands() {
                let child = inner.get_name();
                assert!(is_told(&page, name, child), "docs/commands.md lacks sealgate {name} {child}");
                assert!(inner.get_about().is_some(), "sealgate {name} {child} does not say what it does");
                for argument in inner.get_arguments().filter(|argument| !argument.is_hide_set()) {
                    assert!(
                        argument.get_help().is_some(),
                        "sealgate {name} {child}: {} has no help",
                        argument.get_id()
                    );
                }
            }
        }
    }
}
