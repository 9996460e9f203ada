//! SIGHUP: main.cf and master.cf are read again.
//!
//! A file that cannot be used changes nothing: the error is logged and the old configuration stays
//! in force, so that a slip of the editor does not stop all mail.

use crate::master::Master;
use crate::plan::{self, ChildFlags, Plan, Plans};
use crate::service::ServiceId;
use postern_config::{Config, ConfigError, Severity, params};
use postern_server::owner_groups_variable;
use std::os::fd::OwnedFd;

/// Values that cannot change while master runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    config_directory: String,
    queue_directory: String,
    inet_protocols: String,
    inet_interfaces: String,
}

impl Baseline {
    pub(crate) fn read(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            config_directory: config.directory().to_string_lossy().into_owned(),
            queue_directory: config.try_get(params::QUEUE_DIRECTORY)?,
            inet_protocols: config.try_get(params::INET_PROTOCOLS)?,
            inet_interfaces: config.try_get(params::INET_INTERFACES)?,
        })
    }

    /// Complains about changes and puts the old values back into `config`.
    fn restore(&self, new: &Self, config: &mut Config) {
        let values = [
            (
                "config_directory",
                &self.config_directory,
                &new.config_directory,
            ),
            ("inet_protocols", &self.inet_protocols, &new.inet_protocols),
            (
                "queue_directory",
                &self.queue_directory,
                &new.queue_directory,
            ),
        ];
        for (name, old, new) in values {
            if old != new {
                log::warn!("ignoring {name} parameter value change");
                log::warn!("old value: \"{old}\", new value: \"{new}\"");
                log::warn!("to change {name}, stop and start Postfix");
                config.set_override(name, old);
            }
        }
    }
}

/// A reload that can be carried out.
struct Prepared {
    config: Config,
    /// Changed or unchanged plans of running services.
    kept: Vec<(ServiceId, Plan)>,
    new: Vec<(Plan, Vec<OwnedFd>)>,
    notices: Plans,
}

/// Reads everything again and changes what runs accordingly.
pub(crate) fn reload(master: &mut Master) {
    let version = master.config.get(params::MAIL_VERSION);
    let directory = master.baseline.config_directory.clone();
    log::info!("reload -- version {version}, configuration {directory}");
    match prepare(master) {
        Ok(prepared) => apply(master, prepared),
        Err(text) => {
            log_without_count(&text);
            log::warn!("keeping the previous configuration until the next successful reload");
        }
    }
}

/// A broken file may be reloaded any number of times; it must not count as so many errors of ours.
fn log_without_count(text: &str) {
    postern_maillog::log(postern_maillog::Severity::Error, text);
}

fn prepare(master: &Master) -> Result<Prepared, String> {
    let mut config = load(master).map_err(|error| explain(&error))?;
    let new = Baseline::read(&config).map_err(|error| explain(&error))?;
    master.baseline.restore(&new, &mut config);
    let flags = ChildFlags {
        foreground: master.options.foreground,
        verbose: master.options.verbose > 0,
    };
    let mut plans = plan::read(&config, flags).map_err(|error| error.to_string())?;
    let (mut kept, mut added) = (Vec::new(), Vec::new());
    for plan in std::mem::take(&mut plans.services) {
        match master
            .services
            .iter()
            .find(|(_, service)| service.plan.is_same_service(&plan))
        {
            Some((id, _)) => kept.push((*id, plan)),
            None => {
                let sockets = master.open_sockets(&plan)?;
                added.push((plan, sockets));
            }
        }
    }
    Ok(Prepared {
        config,
        kept,
        new: added,
        notices: plans,
    })
}

fn load(master: &Master) -> Result<Config, ConfigError> {
    let mut config = Config::load_from(&master.config.directory())?;
    config.set_names("master", "master");
    config.set_reader("master");
    config.check("master")?;
    Ok(config)
}

fn explain(error: &ConfigError) -> String {
    for (severity, text) in error.preceding() {
        match severity {
            Severity::Warning => log::warn!("{text}"),
            Severity::Error => log_without_count(&text),
        }
    }
    error.to_string()
}

fn apply(master: &mut Master, prepared: Prepared) {
    if let Err(text) = postern_maillog::try_configure(&prepared.config) {
        log_without_count(&text);
    }
    for warning in prepared
        .config
        .warnings()
        .iter()
        .chain(&prepared.notices.warnings)
    {
        log::warn!("{warning}");
    }
    for notice in &prepared.notices.notices {
        log::info!("{notice}");
    }
    let gone: Vec<ServiceId> = master
        .services
        .keys()
        .filter(|id| !prepared.kept.iter().any(|(kept, _)| kept == *id))
        .copied()
        .collect();
    for id in gone {
        master.remove_service(id);
    }
    master.config = prepared.config;
    master.owner_groups = owner_groups_variable(&master.owner);
    for (id, plan) in prepared.kept {
        update(master, id, plan);
    }
    for (plan, sockets) in prepared.new {
        if let Err(text) = master.add_service(plan, sockets) {
            log_without_count(&text);
        }
    }
}

/// Puts a new plan in force for a running service. Its sockets stay as they are; its processes end
/// when idle, so that new ones read the new configuration.
fn update(master: &mut Master, id: ServiceId, mut plan: Plan) {
    let Some(service) = master.services.get_mut(&id) else {
        return;
    };
    if let (Some(old), Some(new)) = (&service.plan.endpoint, &plan.endpoint)
        && new.follows_interfaces
        && old.addresses != new.addresses
    {
        log::warn!(
            "service {}: ignoring inet_interfaces change",
            plan.external_name
        );
        log::warn!("to change inet_interfaces, stop and start Postfix");
    }
    plan.keep_sockets_of(&service.plan);
    service.plan = plan;
    // The new processes start at once, not when the next wake-up is due.
    master.stop_wakeup(id);
    master.unthrottle(id);
    let restarted = master
        .replace_status(id)
        .and_then(|()| master.start_service(id));
    if let Err(error) = restarted {
        log::warn!("status channel: {}", postern_sys::error_text(&error));
    }
    master.adjust_listening(id);
}
