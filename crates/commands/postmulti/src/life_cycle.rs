//! Instances come, go and change: `-e`.

use std::fs;
use std::path::Path;

use postern_config::params;
use postern_maillog::Severity;
use postern_queue::{nursery, recycled};
use postern_sys::error_text;

use crate::edit::{self, Changes};
use crate::instances::{self, Instance, Instances};
use crate::options::{Options, Selection, Verb};
use crate::{Failure, run, say};

/// Directories of a queue, in the order in which they are removed.
const QUEUES: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "pid", "private", "public", "saved", "trace",
];

/// Does what `-e` says.
pub(crate) fn edit(instances: &Instances, options: &Options, verb: Verb) -> Result<bool, Failure> {
    match verb {
        Verb::Init => init(instances),
        Verb::Create => create(instances, options),
        Verb::Import => import(instances, options),
        Verb::Destroy | Verb::Deport => remove(instances, options, verb == Verb::Destroy),
        Verb::Enable => set_enabled(instances, options, "yes"),
        Verb::Disable => set_enabled(instances, options, "no"),
        Verb::Assign => assign(instances, options),
    }?;
    Ok(true)
}

fn init(instances: &Instances) -> Result<(), Failure> {
    let mut changes = Changes::new();
    let wrapper = "${command_directory}/postmulti -p --";
    edit::set(&mut changes, "multi_instance_wrapper", wrapper);
    edit::set(&mut changes, "multi_instance_enable", "yes");
    edit::apply(&primary_directory(instances), &changes)
}

fn primary_directory(instances: &Instances) -> String {
    instances.config.directory().to_string_lossy().into_owned()
}

/// Everything but `init` wants an instance that manages others.
fn require_init(instances: &Instances) -> Result<(), Failure> {
    let problem = if instances
        .config
        .get(params::MULTI_INSTANCE_WRAPPER)
        .is_empty()
    {
        "multi_instance_wrapper is empty"
    } else if !instances.config.get(params::MULTI_INSTANCE_ENABLE) {
        "multi_instance_enable!=yes"
    } else {
        return Ok(());
    };
    Err(Failure::Script(format!(
        "{problem}, run 'postmulti -e init' first."
    )))
}

fn find<'a>(instances: &'a Instances, options: &Options) -> Result<&'a Instance, Failure> {
    let Selection::Name(name) = &options.selection else {
        return Err(Failure::Fatal(
            "Select an instance via '-i name'".to_owned(),
        ));
    };
    instances
        .all
        .iter()
        .find(|instance| instance.is_called(name))
        .ok_or_else(|| Failure::Fatal(format!("No instance named {name}")))
}

fn set_enabled(instances: &Instances, options: &Options, value: &str) -> Result<(), Failure> {
    let instance = find(instances, options)?;
    require_init(instances)?;
    let mut changes = Changes::new();
    edit::set(&mut changes, "multi_instance_enable", value);
    edit::apply(&instance.config_directory, &changes)
}

/// Name and group as far as they are given.
fn naming(options: &Options) -> Changes {
    let mut changes = Changes::new();
    for (parameter, value) in [
        ("multi_instance_name", &options.name),
        ("multi_instance_group", &options.group),
    ] {
        if let Some(value) = value {
            edit::set(&mut changes, parameter, value);
        }
    }
    changes
}

fn assign(instances: &Instances, options: &Options) -> Result<(), Failure> {
    let mut instance = find(instances, options)?.clone();
    if let Some(name) = &options.name {
        instance.name.clone_from(name);
    }
    if let Some(conflict) = instances.name_conflict(&instance) {
        return Err(Failure::Fatal(conflict));
    }
    require_init(instances)?;
    edit::apply(&instance.config_directory, &naming(options))
}

/// A directory as given, or beside the primary instance's own with the name of the new instance.
fn place(instances: &Instances, options: &Options, parameter: &str) -> Result<String, Failure> {
    if let Some(given) = options.settings.get(parameter) {
        return Ok(given.clone());
    }
    let missing = || Failure::Fatal(format!("Missing {parameter} parameter value"));
    let name = options.name.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(missing)?;
    let sibling = instances
        .primary()
        .map(|primary| primary.directory(parameter));
    let parent = sibling.and_then(|path| Path::new(path).parent());
    let path = parent.ok_or_else(missing)?.join(name);
    Ok(path.to_string_lossy().into_owned())
}

fn create(instances: &Instances, options: &Options) -> Result<(), Failure> {
    let directory = place(instances, options, "config_directory")?;
    let is_there = |name: &str| Path::new(&directory).join(name).exists();
    if is_there("main.cf") && is_there("master.cf") {
        return import(instances, options);
    }
    let mut new = Instance::from_config(&instances.config, &directory);
    new.queue_directory = place(instances, options, "queue_directory")?;
    new.data_directory = place(instances, options, "data_directory")?;
    new.name = options.name.clone().unwrap_or_default();
    new.group = options.group.clone().unwrap_or_default();
    let list = new_list(instances, options, &new)?;
    require_init(instances)?;
    write_new(instances, &new)?;
    set_list(instances, &list)
}

fn import(instances: &Instances, options: &Options) -> Result<(), Failure> {
    let directory = place(instances, options, "config_directory")?;
    if let Some(other) = instances
        .all
        .iter()
        .find(|other| other.config_directory == directory)
    {
        let conflict = instances.conflict(other).unwrap_or_default();
        return Err(Failure::Fatal(conflict));
    }
    let commands = instances.config.get(params::COMMAND_DIRECTORY);
    let mut new = instances::read(&directory, &commands).map_err(Failure::Fatal)?;
    if let Some(name) = &options.name {
        new.name.clone_from(name);
    }
    let list = new_list(instances, options, &new)?;
    require_init(instances)?;
    let changes = naming(options);
    if !changes.is_empty() {
        edit::apply(&directory, &changes)?;
    }
    set_list(instances, &list)
}

/// The configuration directories with the new one in its place.
fn new_list(
    instances: &Instances,
    options: &Options,
    new: &Instance,
) -> Result<Vec<String>, Failure> {
    if let Some(conflict) = instances.conflict(new) {
        return Err(Failure::Fatal(conflict));
    }
    let others = instances.secondary();
    let position = match &options.selection {
        Selection::Default => Some(others.len()),
        Selection::All => Some(0),
        Selection::Group(group) => others.iter().position(|other| other.group == *group),
        Selection::Name(name) => others.iter().position(|other| other.is_called(name)),
    };
    let Some(position) = position else {
        return Err(Failure::Fatal("No matching secondary instances".to_owned()));
    };
    let mut list: Vec<String> = others
        .iter()
        .map(|other| other.config_directory.clone())
        .collect();
    list.insert(position, new.config_directory.clone());
    Ok(list)
}

fn set_list(instances: &Instances, list: &[String]) -> Result<(), Failure> {
    let mut changes = Changes::new();
    edit::set(&mut changes, "multi_instance_directories", &list.join(" "));
    edit::apply(&primary_directory(instances), &changes)
}

/// Writes the configuration of a new instance and has its queue made. The instance is listed only after
/// all of this has worked.
fn write_new(instances: &Instances, new: &Instance) -> Result<(), Failure> {
    let meta = instances.config.get(params::META_DIRECTORY);
    let stock = |name: &str| {
        let path = Path::new(&meta).join(format!("{name}.proto"));
        fs::read(&path)
            .map_err(|_| Failure::Script(format!("Missing {name} prototype: {}", path.display())))
    };
    let (main_cf, master_cf) = (stock("main.cf")?, stock("master.cf")?);
    make_parents(&new.data_directory)?;
    for directory in [&new.config_directory, &new.queue_directory] {
        make_directory(Path::new(directory))?;
    }
    let target = |name: &str| Path::new(&new.config_directory).join(name);
    let made = write(&target("main.cf"), &main_cf)
        .and_then(|()| {
            let changes = edit::for_new_instance(&instances.config, new);
            edit::apply(&new.config_directory, &changes)
        })
        .and_then(|()| write(&target("master.cf"), &master_cf))
        .and_then(|()| {
            let words = ["post-install".into(), "create-missing".into()];
            if run::run_one(new, &run::postfix_command(new, &words)) {
                Ok(())
            } else {
                Err(Failure::Told)
            }
        });
    if made.is_err() {
        // Half a configuration would be taken for one to import at the next try.
        for name in ["main.cf", "master.cf"] {
            let _ = fs::remove_file(target(name));
        }
    }
    made
}

fn make_parents(directory: &str) -> Result<(), Failure> {
    match Path::new(directory).parent() {
        Some(parent) if !parent.is_dir() => make_directory(parent),
        _ => Ok(()),
    }
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        postern_command::complain!(
            "mkdir: cannot create directory '{}': {}",
            path.display(),
            error_text(&error)
        );
        Failure::Told
    })
}

fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| {
        postern_command::complain!(
            "cp: cannot create regular file '{}': {}",
            path.display(),
            error_text(&error)
        );
        Failure::Told
    })
}

/// Takes an instance from the list, and with `is_destroyed` also its files.
fn remove(instances: &Instances, options: &Options, is_destroyed: bool) -> Result<(), Failure> {
    let instance = find(instances, options)?;
    if instance.is_primary {
        return Err(Failure::Fatal(
            "Cannot remove the primary instance".to_owned(),
        ));
    }
    if instance.is_enabled {
        return Err(Failure::Fatal("Cannot remove enabled instances".to_owned()));
    }
    require_init(instances)?;
    let directory = &instance.config_directory;
    if is_running(instance) {
        return Err(Failure::Script(format!(
            "Instance '{directory}' is not stopped"
        )));
    }
    if is_destroyed {
        destroy(instances, instance);
    }
    let list: Vec<String> = instances
        .secondary()
        .iter()
        .map(|other| other.config_directory.clone())
        .filter(|other| other != directory)
        .collect();
    set_list(instances, &list)
}

/// Whether the instance's master(8) holds its lock. Where that cannot be told, it counts as running.
fn is_running(instance: &Instance) -> bool {
    let path = Path::new(&instance.queue_directory).join("pid/master.pid");
    let Ok(file) = fs::File::options().read(true).write(true).open(&path) else {
        return path.exists();
    };
    let free = postern_sys::lock::try_lock(
        &file,
        postern_sys::lock::LockStyle::Flock,
        postern_sys::lock::LockMode::Exclusive,
    );
    !free.unwrap_or(false)
}

/// Removes empty directories and the two configuration files. Whatever else is there is the
/// administrator's, mail above all.
fn destroy(instances: &Instances, instance: &Instance) {
    let queue = Path::new(&instance.queue_directory);
    remove_empty_files(&queue.join(recycled::DIRECTORY));
    nursery::tidy(queue);
    let own = [recycled::DIRECTORY, nursery::DIRECTORY];
    for name in own.iter().chain(QUEUES) {
        remove_directory(instances, &queue.join(name), name);
    }
    remove_directory(
        instances,
        Path::new(&instance.data_directory),
        &instance.data_directory,
    );
    remove_directory(instances, queue, &instance.queue_directory);
    let config = Path::new(&instance.config_directory);
    for name in ["main.cf", "master.cf"] {
        if let Err(error) = fs::remove_file(config.join(name))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let path = config.join(name);
            postern_command::complain!(
                "rm: cannot remove '{}': {}",
                path.display(),
                error_text(&error)
            );
        }
    }
    remove_directory(instances, config, &instance.config_directory);
}

/// Files that wait to be used again hold nothing.
fn remove_empty_files(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.len() == 0) {
            // What stays is told when the directory cannot be removed.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Removes a directory; `shown` is how rmdir(1) would call it.
fn remove_directory(instances: &Instances, path: &Path, shown: &str) {
    if !path.is_dir() {
        return;
    }
    if let Err(error) = fs::remove_dir(path) {
        postern_command::complain!("rmdir: failed to remove '{shown}': {}", error_text(&error));
        say(
            instances,
            Severity::Warning,
            &format!(
                "{}: please verify contents and remove by hand",
                path.display()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postern_config::Config;

    use super::*;
    use crate::options::Action;

    fn instances() -> Instances {
        let config = Config::from_text("queue_directory = /var/spool/postfix\n").unwrap();
        let mut primary = Instance::from_config(&config, "/etc/postfix");
        primary.is_primary = true;
        let other = |name: &str, group: &str| {
            let mut other = Instance::from_config(&config, &format!("/etc/{name}"));
            other.queue_directory = format!("/q/{name}");
            other.data_directory = format!("/d/{name}");
            (other.name, other.group) = (name.to_owned(), group.to_owned());
            other
        };
        let all = vec![primary, other("postfix-a", ""), other("postfix-b", "g")];
        Instances { config, all }
    }

    fn options(selection: Selection, name: Option<&str>) -> Options {
        Options {
            action: Action::Edit(Verb::Create),
            selection,
            reverse: false,
            json: false,
            name: name.map(str::to_owned),
            group: None,
            settings: BTreeMap::new(),
            verbose: 0,
        }
    }

    #[test]
    fn an_instance_goes_with_the_directories_that_it_made_for_itself() {
        let root = tempfile::tempdir().unwrap();
        let queue = root.path().join("queue");
        for directory in ["private/recycled", "private/new/0a", "incoming"] {
            fs::create_dir_all(queue.join(directory)).unwrap();
        }
        fs::write(queue.join("private/recycled/1F"), "").unwrap();
        let instances = instances();
        let mut gone = Instance::from_config(&instances.config, "/nonexistent/config");
        gone.queue_directory = queue.display().to_string();
        gone.data_directory = root.path().join("data").display().to_string();
        destroy(&instances, &gone);
        assert!(!queue.exists());
    }

    #[test]
    fn a_new_instance_goes_where_the_selection_says() {
        let instances = instances();
        let mut new = Instance::from_config(&instances.config, "/etc/n");
        (new.queue_directory, new.data_directory) = ("/q/n".into(), "/d/n".into());
        for (selection, want) in [
            (Selection::Default, Some(2)),
            (Selection::All, Some(0)),
            (Selection::Group("g".into()), Some(1)),
            (Selection::Name("postfix-a".into()), Some(0)),
            (Selection::Name("/etc/postfix-b".into()), Some(1)),
            (Selection::Name("nosuch".into()), None),
            (Selection::Name("-".into()), None),
        ] {
            let list = new_list(&instances, &options(selection.clone(), None), &new);
            let position = list
                .ok()
                .and_then(|list| list.iter().position(|entry| entry == "/etc/n"));
            assert_eq!(position, want, "{selection:?}");
        }
    }

    #[test]
    fn places_are_beside_those_of_the_primary_instance() {
        let instances = instances();
        let place = |name: Option<&str>, parameter: &str| {
            place(&instances, &options(Selection::Default, name), parameter)
        };
        assert_eq!(
            place(Some("postfix-x"), "queue_directory"),
            Ok("/var/spool/postfix-x".to_owned())
        );
        assert_eq!(
            place(Some("postfix-x"), "config_directory"),
            Ok("/etc/postfix-x".to_owned())
        );
        let missing = Failure::Fatal("Missing config_directory parameter value".to_owned());
        assert_eq!(place(None, "config_directory"), Err(missing));
    }
}
