//! Runs a command that master.cf names for every connection, with the connection as its standard streams.
//! Manual page: spawn(8); delivery.md §6.2 of our specification. Never reads or writes the connection
//! itself.
#![forbid(unsafe_code)]

mod attributes;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use postern_config::params;
use postern_config::words::environment;
use postern_maillog::{Severity, fatal};
use postern_program::{Program, Running};
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};
use postern_sys::child::Step;
use postern_sys::error_text;
use postern_sys::process::ChildEvent;

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Spawn>()
}

/// The daemon.
struct Spawn {
    export: Vec<String>,
    time_limit: Duration,
    /// Read when the first client comes, as the reference does.
    program: Option<Program>,
}

impl SingleServer for Spawn {
    const NAME: &'static str = "spawn";
    const NEEDS: Needs = Needs {
        privileged: true,
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let export = environment(
            params::EXPORT_ENVIRONMENT.info.name,
            "clean_env",
            &config.get(params::EXPORT_ENVIRONMENT),
        )
        .map_err(StartError::new)?;
        let service = &context.service_name;
        Ok(Self {
            export,
            time_limit: config.service_time(service, "time_limit", params::COMMAND_TIME_LIMIT),
            program: None,
        })
    }

    fn after_jail(&mut self, _context: &Context) -> Result<(), StartError> {
        postern_sys::signal::ignore_write_signals();
        Ok(())
    }

    fn serve(&mut self, context: &Context, client: Client) {
        if self.program.is_none() {
            let program = attributes::program(context, self.export.clone());
            self.program = Some(program.unwrap_or_else(|text| fatal!("{text}")));
        }
        let Some(program) = &self.program else {
            return;
        };
        let connection = client.channel.as_fd();
        let descriptors = [(connection, 0), (connection, 1), (connection, 2)];
        let started = program.start(&descriptors, |step, error| {
            let text = program.failure(step, error).unwrap_or_else(|| {
                debug_assert_eq!(step, Step::Execute);
                format!(
                    "spawn_comand: execvp {}: {}",
                    program.name(),
                    error_text(error)
                )
            });
            postern_maillog::log(Severity::Fatal, &text);
            1
        });
        match started {
            Ok(mut running) => supervise(program, &mut running, self.time_limit),
            Err(error) => fatal!("fork: {}", error_text(&error)),
        }
    }
}

/// Waits for the command, and ends it and what it started when it takes too long.
fn supervise(program: &Program, running: &mut Running, limit: Duration) {
    let name = program.name();
    match running.wait(Some(limit)) {
        Ok(Some(ChildEvent::Exited(0))) => {}
        Ok(Some(ChildEvent::Exited(status))) => log::warn!("command {name} exit status {status}"),
        Ok(Some(ChildEvent::Killed(signal) | ChildEvent::Stopped(signal))) => {
            log::warn!("command {name} killed by signal {signal}");
        }
        Ok(None) => {
            log::warn!("{name}: pid {}: command time limit exceeded", running.id());
            running.kill();
            let _ = running.wait(None);
        }
        Err(error) => log::warn!("command {name}: {}", error_text(&error)),
    }
}
