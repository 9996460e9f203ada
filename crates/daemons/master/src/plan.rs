//! What master.cf asks for, with names resolved: the services that shall run.

use crate::inet::{self, Endpoint, EndpointError, Families};
use postern_config::master_cf::{self, Service, ServiceType};
use postern_config::{Config, ConfigError, params, words};
use std::path::PathBuf;
use std::time::Duration;

/// One service as it shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The name as in master.cf.
    pub(crate) external_name: String,
    /// The normalised name: a port, or the socket's path below the queue directory.
    pub(crate) name: String,
    /// How clients reach it.
    pub(crate) kind: ServiceType,
    /// Internet addresses, for `inet`.
    pub(crate) endpoint: Option<Endpoint>,
    /// Time between wake-ups; zero is never.
    pub(crate) wakeup: Duration,
    /// Whether wake-ups wait for the first use.
    pub(crate) wakeup_after_use: bool,
    /// Most processes; zero is no limit.
    pub(crate) process_limit: usize,
    /// The program.
    pub(crate) path: PathBuf,
    /// argv up to the place of `-o stress=`, argv[0] first.
    pub(crate) args_before_stress: Vec<String>,
    /// Whether children are told about stress.
    pub(crate) has_stress: bool,
    /// argv after that place.
    pub(crate) args_after_stress: Vec<String>,
    /// Length of the sockets' queues of waiting clients.
    pub(crate) backlog: i32,
    /// How long a service rests whose programs cannot start.
    pub(crate) throttle_time: Duration,
}

impl Plan {
    /// Whether an old and a new entry are the same service.
    pub(crate) fn is_same_service(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }

    /// Takes over what belongs to open sockets: a reload does not change them.
    pub(crate) fn keep_sockets_of(&mut self, old: &Self) {
        if let (Some(mine), Some(theirs)) = (&self.endpoint, &old.endpoint)
            && mine.addresses.len() != theirs.addresses.len()
        {
            let arguments = self
                .args_after_stress
                .split_off(if mine.addresses.len() > 1 { 2 } else { 0 });
            self.args_after_stress = socket_count(theirs.addresses.len());
            self.args_after_stress.extend(arguments);
        }
        self.endpoint.clone_from(&old.endpoint);
    }

    /// The complete argv of a new child.
    pub(crate) fn argv(&self, stressed: bool) -> Vec<String> {
        let mut argv = self.args_before_stress.clone();
        if self.has_stress {
            argv.push("-o".to_owned());
            argv.push(if stressed { "stress=yes" } else { "stress=" }.to_owned());
        }
        argv.extend(self.args_after_stress.iter().cloned());
        argv
    }
}

/// Why there is no plan. `Display` is the text after `fatal: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// main.cf or master.cf is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An entry names something that does not exist.
    #[error("{path}: line {line}: {text}")]
    Entry {
        path: String,
        line: usize,
        text: String,
    },
    /// As `Entry`, without place.
    #[error("{0}")]
    Alone(String),
}

/// What the command line of master adds to every child's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChildFlags {
    /// `-d` for children.
    pub(crate) foreground: bool,
    /// `-v` for children.
    pub(crate) verbose: bool,
}

/// All services, with what is to be logged about them.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    pub(crate) services: Vec<Plan>,
    pub(crate) warnings: Vec<String>,
    pub(crate) notices: Vec<String>,
}

/// Reads master.cf and resolves every name in it.
pub(crate) fn read(config: &Config, flags: ChildFlags) -> Result<Plans, PlanError> {
    let parsed = master_cf::load(config)?;
    resolve(config, flags, parsed)
}

fn resolve(
    config: &Config,
    flags: ChildFlags,
    parsed: master_cf::MasterCf,
) -> Result<Plans, PlanError> {
    let path = config
        .directory()
        .join("master.cf")
        .to_string_lossy()
        .into_owned();
    let families = Families::read(config)?;
    let disabled = config.try_get(params::MASTER_SERVICE_DISABLE)?;
    let mut plans = Plans {
        services: Vec::new(),
        warnings: parsed.warnings,
        notices: parsed.notices,
    };
    if families.is_empty() {
        let protocols = config.try_get(params::INET_PROTOCOLS)?;
        plans.warnings.push(format!(
            "all network protocols are disabled (inet_protocols = {protocols})"
        ));
        plans
            .warnings
            .push("disabling all type \"inet\" services in master.cf".to_owned());
    }
    for service in parsed.services {
        if is_disabled(&disabled, &service)
            || (service.kind == ServiceType::Inet && families.is_empty())
        {
            continue;
        }
        let line = service.line;
        let plan = plan(config, flags, service, families).map_err(|error| match error {
            EndpointError::Entry(text) => PlanError::Entry {
                path: path.clone(),
                line,
                text,
            },
            EndpointError::Alone(text) => PlanError::Alone(text),
        })?;
        let earlier = plans
            .services
            .iter_mut()
            .find(|known| known.is_same_service(&plan));
        match earlier {
            Some(known) => {
                plans.warnings.push(format!(
                    "duplicate master.cf entry for service \"{}\" ({}) -- using the last entry",
                    known.external_name, plan.name
                ));
                *known = plan;
            }
            None => plans.services.push(plan),
        }
    }
    Ok(plans)
}

/// Whether master_service_disable names the service: `name/type` or `type`.
fn is_disabled(list: &str, service: &Service) -> bool {
    let kind = service.kind.name();
    words::words(list).any(|word| match word.rsplit_once('/') {
        Some((name, of_kind)) => {
            of_kind.eq_ignore_ascii_case(kind) && name.eq_ignore_ascii_case(&service.name)
        }
        None => word.eq_ignore_ascii_case(kind),
    })
}

fn plan(
    config: &Config,
    flags: ChildFlags,
    service: Service,
    families: Families,
) -> Result<Plan, EndpointError> {
    let text = |error: ConfigError| EndpointError::Alone(error.to_string());
    let endpoint = match service.kind {
        ServiceType::Inet => Some(inet::endpoint(config, &service.name, families)?),
        _ => None,
    };
    let class = if service.private { "private" } else { "public" };
    let name = endpoint.as_ref().map_or_else(
        || format!("{class}/{}", service.name),
        |found| found.name.clone(),
    );
    let default_limit = config
        .try_get(params::DEFAULT_PROCESS_LIMIT)
        .map_err(text)?;
    let default_limit = u32::try_from(default_limit).unwrap_or(100);
    let limit = service.process_limit.unwrap_or(default_limit);
    let sockets = endpoint.as_ref().map_or(1, |found| found.addresses.len());
    let is_local = endpoint
        .as_ref()
        .is_some_and(|found| found.addresses.iter().all(|at| at.ip().is_loopback()));
    let has_stress = match service.kind {
        ServiceType::Inet => limit > 1 && !is_local,
        ServiceType::Pass => limit > 1,
        _ => false,
    };
    let mut after = socket_count(sockets);
    after.extend(service.arguments.iter().cloned());
    Ok(Plan {
        args_before_stress: arguments(&service, limit, flags),
        has_stress,
        args_after_stress: after,
        path: PathBuf::from(config.try_get(params::DAEMON_DIRECTORY).map_err(text)?)
            .join(&service.command),
        wakeup: Duration::from_secs(u64::from(service.wakeup)),
        wakeup_after_use: service.wakeup_after_use,
        process_limit: usize::try_from(limit).unwrap_or(usize::MAX),
        backlog: i32::try_from(limit.max(default_limit)).unwrap_or(i32::MAX),
        throttle_time: config
            .try_get(params::SERVICE_THROTTLE_TIME)
            .map_err(text)?,
        kind: service.kind,
        external_name: service.name,
        name,
        endpoint,
    })
}

/// `-s` for more sockets than one.
fn socket_count(count: usize) -> Vec<String> {
    if count > 1 {
        vec!["-s".to_owned(), count.to_string()]
    } else {
        Vec::new()
    }
}

/// argv up to the place of the stress option.
fn arguments(service: &Service, limit: u32, flags: ChildFlags) -> Vec<String> {
    let base = service
        .command
        .rsplit('/')
        .next()
        .unwrap_or(&service.command);
    let mut argv = vec![base.to_owned()];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    match limit {
        0 => add(&["-z"]),
        1 => add(&["-l"]),
        _ => {}
    }
    if base != service.name {
        add(&["-n", &service.name]);
    }
    add(&["-t", service.kind.name()]);
    if flags.foreground {
        add(&["-d"]);
    }
    if flags.verbose {
        add(&["-v"]);
    }
    if service.unprivileged {
        add(&["-u"]);
    }
    if service.chroot {
        add(&["-c"]);
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_config::Level;

    const MAIN: &str = "inet_interfaces = all\ninet_protocols = all\nmaster_service_disable = off.unix/unix, fifo\n";

    fn plans(master: &str) -> Plans {
        let config = Config::from_text(MAIN).unwrap();
        let parsed = master_cf::services("/m", master.as_bytes(), Level::new(3, 6)).unwrap();
        resolve(&config, ChildFlags::default(), parsed).unwrap()
    }

    #[test]
    fn command_lines_are_those_of_the_reference() {
        #[rustfmt::skip]
        let cases = [
            ("pickup unix n - n 60 1 pickup",                 "pickup -l -t unix -u"),
            ("defer unix - - n - 0 bounce",                   "bounce -z -n defer -t unix -u"),
            ("postlog unix-dgram n - n - 1 postlogd",         "postlogd -l -n postlog -t unix-dgram -u"),
            ("chr unix - - y - - discard",                    "discard -n chr -t unix -u -c"),
            ("smtp inet n - n - - smtpd",                     "smtpd -n smtp -t inet -u -o stress= -s 2"),
            ("127.0.0.1:2532 inet n - n - - smtpd\n -o name=value", "smtpd -n 127.0.0.1:2532 -t inet -u -o name=value"),
            ("smtp inet n n n - 1 smtpd",                     "smtpd -l -n smtp -t inet -s 2"),
            ("smtpd pass - - n - - smtpd -o { a = b }",       "smtpd -t pass -u -o stress= -o a = b"),
        ];
        for (line, want) in cases {
            let found = plans(line);
            assert_eq!(found.services[0].argv(false).join(" "), want, "{line}");
        }
        assert!(
            plans("smtp inet n - n - - smtpd").services[0]
                .argv(true)
                .contains(&"stress=yes".to_owned())
        );
    }

    #[test]
    fn last_of_equal_entries_counts_and_disabled_ones_are_gone() {
        let found = plans(
            "smtp inet n - n - 5 smtpd\n25 inet n - n - 7 smtpd\noff.unix unix - - n - - x\nf fifo n - n - - x\n",
        );
        assert_eq!(found.services.len(), 1);
        assert_eq!(found.services[0].process_limit, 7);
        let want = "duplicate master.cf entry for service \"smtp\" (25) -- using the last entry";
        assert_eq!(found.warnings, [want]);
    }
}
