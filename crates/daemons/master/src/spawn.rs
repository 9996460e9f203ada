//! Starting a child: argv, environment, descriptors.

use crate::service::Service;
use postern_maillog::fatal;
use postern_sys::daemon;
use postern_sys::process::{self, Spawn};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// Descriptors that all children share.
#[derive(Debug)]
pub(crate) struct FlowPipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

/// Starts a child of `service` and returns its process id.
pub(crate) fn spawn(
    service: &Service,
    flow: &FlowPipe,
    generation: u32,
    owner_groups: Option<&str>,
    stressed: bool,
) -> io::Result<i32> {
    let mut descriptors: Vec<(BorrowedFd<'_>, RawFd)> = vec![
        (flow.read.as_fd(), daemon::FLOW_READ),
        (flow.write.as_fd(), daemon::FLOW_WRITE),
        (service.status.theirs.as_fd(), daemon::STATUS),
    ];
    descriptors.extend(
        service
            .listeners
            .iter()
            .map(AsFd::as_fd)
            .zip(daemon::FIRST_LISTENER..),
    );
    let plan = &service.plan;
    let args = plan
        .argv(stressed)
        .into_iter()
        .map(|arg| c_string(postern_config::lines::to_bytes(&arg)))
        .collect::<io::Result<_>>()?;
    let program = c_string(plan.path.as_os_str().as_bytes())?;
    let child = Spawn {
        program,
        args,
        env: environment(generation, owner_groups)?,
        descriptors,
    };
    process::spawn(&child, |error| {
        fatal!(
            "master_spawn: exec {}: {}",
            plan.path.display(),
            postern_sys::error_text(&error)
        );
    })
}

/// This process's environment, cleaned at start-up, with the child's generation and what it need not
/// find out by itself.
fn environment(generation: u32, owner_groups: Option<&str>) -> io::Result<Vec<CString>> {
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let mut item: OsString = name;
        item.push("=");
        item.push(value);
        environment.push(c_string(item.as_bytes())?);
    }
    environment.push(c_string(format!("GENERATION={generation:o}"))?);
    if let Some(variable) = owner_groups {
        environment.push(c_string(variable)?);
    }
    Ok(environment)
}

fn c_string(text: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::ErrorKind::InvalidInput.into())
}
