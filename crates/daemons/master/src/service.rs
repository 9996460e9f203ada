//! One running service: its sockets, its children, and whether it needs another process.

use crate::plan::Plan;
use postern_server::{TimerId, Token};
use postern_sys::{file, socket};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a service stays in stress mode, and the shortest time between complaints.
pub(crate) const STRESS_TIME: Duration = Duration::from_secs(1000);

/// Names a service for as long as master runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServiceId(pub(crate) u64);

/// A child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) generation: u32,
    pub(crate) available: bool,
    /// How often it reported itself available.
    pub(crate) use_count: u32,
}

/// Both ends of the status channel; children get copies of theirs.
#[derive(Debug)]
pub(crate) struct StatusChannel {
    pub(crate) ours: OwnedFd,
    pub(crate) theirs: OwnedFd,
    /// Set while our end is watched.
    pub(crate) token: Option<Token>,
}

impl StatusChannel {
    pub(crate) fn new() -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        file::set_nonblocking(&ours, true)?;
        Ok(Self {
            ours,
            theirs,
            token: None,
        })
    }
}

/// A service of master.cf.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) plan: Plan,
    pub(crate) listeners: Vec<OwnedFd>,
    /// Tokens of the listeners while they are watched.
    pub(crate) listening: Vec<Token>,
    pub(crate) status: StatusChannel,
    pub(crate) children: HashMap<i32, Child>,
    /// Children that wait for a client.
    pub(crate) available: usize,
    /// Set while no process may be started.
    pub(crate) throttle: Option<TimerId>,
    pub(crate) wakeup_timer: Option<TimerId>,
    /// The end of stress mode.
    pub(crate) stress_until: Option<Instant>,
    /// When the process limit was last complained about.
    pub(crate) complained: Option<Instant>,
}

impl Service {
    pub(crate) fn new(plan: Plan, listeners: Vec<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            plan,
            listeners,
            listening: Vec::new(),
            status: StatusChannel::new()?,
            children: HashMap::new(),
            available: 0,
            throttle: None,
            wakeup_timer: None,
            stress_until: None,
            complained: None,
        })
    }

    /// How the service reads in messages: `NAME(PATH)`.
    pub(crate) fn title(&self) -> String {
        format!("{}({})", self.plan.external_name, self.plan.name)
    }

    /// Whether as many processes run as may.
    pub(crate) fn is_full(&self) -> bool {
        self.plan.process_limit > 0 && self.children.len() >= self.plan.process_limit
    }

    /// Whether a waiting client needs a new process.
    pub(crate) fn wants_clients(&self) -> bool {
        self.throttle.is_none() && self.available == 0 && !self.is_full()
    }

    pub(crate) fn is_stressed(&self, now: Instant) -> bool {
        self.stress_until.is_some_and(|end| now < end)
    }

    /// A new child counts as available.
    pub(crate) fn add_child(&mut self, pid: i32, generation: u32) {
        self.children.insert(
            pid,
            Child {
                generation,
                available: true,
                use_count: 0,
            },
        );
        self.available += 1;
    }

    /// Forgets a child that ended.
    pub(crate) fn remove_child(&mut self, pid: i32) -> Option<Child> {
        let child = self.children.remove(&pid)?;
        if child.available {
            self.available = self.available.saturating_sub(1);
        }
        Some(child)
    }

    /// Notes what a child reports. The error is the text of a message.
    pub(crate) fn update_child(
        &mut self,
        pid: i32,
        generation: u32,
        state: i32,
    ) -> Result<(), String> {
        let Some(child) = self.children.get_mut(&pid) else {
            return Err(format!("master_status_event: process id not found: {pid}"));
        };
        if child.generation != generation {
            return Err(format!(
                "ignoring status update from child pid {pid} generation {generation}"
            ));
        }
        match (state, child.available) {
            (0, true) => {
                child.available = false;
                self.available = self.available.saturating_sub(1);
            }
            (1, false) => {
                child.available = true;
                child.use_count = child.use_count.saturating_add(1);
                self.available += 1;
            }
            (0 | 1, _) => {}
            (other, _) => {
                return Err(format!(
                    "service {}: child (pid {pid}) sent unknown status {other}",
                    self.title()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use postern_config::master_cf::ServiceType;

    pub(crate) fn plan(name: &str, process_limit: usize) -> Plan {
        Plan {
            external_name: name.to_owned(),
            name: format!("public/{name}"),
            kind: ServiceType::Unix,
            endpoint: None,
            wakeup: Duration::ZERO,
            wakeup_after_use: false,
            process_limit,
            path: "/nowhere/x".into(),
            args_before_stress: vec!["x".to_owned()],
            has_stress: false,
            args_after_stress: Vec::new(),
            backlog: 10,
            throttle_time: Duration::from_secs(60),
        }
    }

    #[test]
    fn clients_are_wanted_only_without_a_free_child_and_below_the_limit() {
        let mut service = Service::new(plan("x", 2), Vec::new()).unwrap();
        assert!(service.wants_clients());
        service.add_child(10, 1);
        assert!(!service.wants_clients());
        service.update_child(10, 1, 0).unwrap();
        service.update_child(10, 1, 0).unwrap();
        assert!(service.wants_clients());
        service.add_child(11, 2);
        service.update_child(11, 2, 0).unwrap();
        assert!(!service.wants_clients(), "the limit is reached");
        service.remove_child(11);
        assert!(service.wants_clients());
        service.update_child(10, 1, 1).unwrap();
        assert_eq!((service.available, service.children[&10].use_count), (1, 1));
        service.remove_child(10);
        assert_eq!(service.available, 0);
    }

    #[test]
    fn records_of_strangers_and_old_generations_are_refused() {
        let mut service = Service::new(plan("x", 0), Vec::new()).unwrap();
        service.add_child(10, 8);
        let error = service.update_child(10, 7, 0).unwrap_err();
        assert_eq!(
            error,
            "ignoring status update from child pid 10 generation 7"
        );
        assert!(service.update_child(12, 8, 0).is_err());
        assert!(service.update_child(10, 8, 5).is_err());
        assert_eq!(service.available, 1);
    }
}
