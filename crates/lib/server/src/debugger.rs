//! The command of `debugger_command`, for programs that are started with `-D`.

use postern_config::{Config, params};
use std::process::Command;

/// There is no command to run. `Display` is the text after `fatal: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no debugger_command variable set up")]
pub struct NoDebugger;

/// Whether the environment asks for the debugger, as `-D` does.
pub fn wants_debugger() -> bool {
    std::env::var_os("MAIL_DEBUG").is_some()
}

/// Runs `debugger_command` in a shell and waits for it; what it leaves in the background goes on.
///
/// # Errors
///
/// When main.cf has no command. That the command fails is its own affair.
pub fn run_debugger(config: &Config) -> Result<(), NoDebugger> {
    let command = config.get(params::DEBUGGER_COMMAND);
    if command.is_empty() {
        return Err(NoDebugger);
    }
    log::info!("running: {command}");
    if let Err(error) = Command::new("/bin/sh").arg("-c").arg(&command).status() {
        log::warn!("debugger_command: {}", postern_sys::error_text(&error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_knows_the_program_and_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("said");
        let text = format!(
            "debugger_command = echo $process_name $process_id $nothing. > {}\n",
            file.display()
        );
        let mut config = Config::from_text(&text).unwrap();
        config.set_names("smtpd", "smtp");
        assert_eq!(run_debugger(&config), Ok(()));
        let said = std::fs::read_to_string(&file).unwrap();
        assert_eq!(said, format!("smtpd {} .\n", std::process::id()));
    }

    #[test]
    fn without_a_command_there_is_nothing_to_do() {
        let config = Config::from_text("").unwrap();
        assert_eq!(run_debugger(&config), Err(NoDebugger));
    }
}
