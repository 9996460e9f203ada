//! Children that ended.

use crate::master::Master;
use postern_sys::process::{self, ChildEvent};

/// SIGTERM, which master itself sends to children of removed services.
const TERM: i32 = nix::libc::SIGTERM;

/// Collects every child that changed.
pub(crate) fn reap_all(master: &mut Master) {
    while let Some((pid, event)) = process::reap() {
        child_changed(master, pid, event);
    }
}

fn child_changed(master: &mut Master, pid: i32, event: ChildEvent) {
    let owner = master
        .services
        .iter()
        .find(|(_, service)| service.children.contains_key(&pid))
        .map(|(id, _)| *id);
    let Some(id) = owner else {
        if matches!(event, ChildEvent::Stopped(_)) {
            return;
        }
        match master.orphans.remove(&pid) {
            Some(path) if event != ChildEvent::Killed(TERM) => report(&path, pid, event),
            Some(_) => {}
            // PID 1 inherits strangers.
            None if master.options.init => {}
            None => log::warn!("master_reap: unknown pid: {pid}"),
        }
        return;
    };
    let Some(service) = master.services.get_mut(&id) else {
        return;
    };
    let path = service.plan.path.display().to_string();
    report(&path, pid, event);
    if matches!(event, ChildEvent::Stopped(_)) {
        return;
    }
    let never_used = service
        .remove_child(pid)
        .is_some_and(|child| child.use_count == 0);
    let failed = event != ChildEvent::Exited(0);
    if failed && never_used && service.throttle.is_none() {
        log::warn!("{path}: bad command startup -- throttling");
        master.throttle(id);
    }
    master.adjust_listening(id);
}

fn report(path: &str, pid: i32, event: ChildEvent) {
    match event {
        ChildEvent::Exited(0) => {}
        ChildEvent::Exited(status) => log::warn!("process {path} pid {pid} exit status {status}"),
        ChildEvent::Killed(signal) => {
            log::warn!("process {path} pid {pid} killed by signal {signal}")
        }
        ChildEvent::Stopped(signal) => {
            log::warn!("process {path} pid {pid} stopped by signal {signal}")
        }
    }
}
