//! Opens tables by `type:name`, shares equal handles in a process, and knows which file changed.

use bstr::{BStr, BString};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use postern_config::{Config, params};

use crate::composite::{self, Debug, Join};
use crate::migration::redirected;
use crate::prefilter::Syntax;
use crate::{
    Builder, ErrorKind, Flags, Layer, Lookup, LookupError, OpenError, OpenMode, Owner, Surrogate,
    Table, bdb, by_postmap, cdb, cidr, lmdb, nis, proxy, rules, simple, socketmap, tcp, texthash,
    unix,
};

type Guarded = Mutex<Box<dyn Table>>;
type Handle = Arc<Guarded>;

/// The open tables of this process by registered name.
static OPEN: Mutex<BTreeMap<String, Weak<Guarded>>> = Mutex::new(BTreeMap::new());

/// Opens `type:name` for reading. Never fails: a table that cannot be opened becomes a surrogate
/// whose lookups fail with the reason, as Postfix does.
///
/// Equal `type:name` and flags share one handle in a process.
pub fn open(config: &Config, type_name: &str, flags: Flags) -> Box<dyn Table> {
    open_mode(config, type_name, OpenMode::Read, flags)
}

/// As [`open`] for set-gid commands, which shall start fast and be small: tables that need a client
/// library are asked through postmap(1), and a program that opens tables only so has no such library in it.
pub fn open_small(config: &Config, type_name: &str, flags: Flags) -> Box<dyn Table> {
    let clients: Clients =
        |config, name, mode, flags, _| by_postmap::open(config, name, mode, flags);
    open_by(config, type_name, OpenMode::Read, flags, clients)
}

/// As [`open`], in any mode.
pub fn open_mode(config: &Config, type_name: &str, mode: OpenMode, flags: Flags) -> Box<dyn Table> {
    open_by(config, type_name, mode, flags, open_client)
}

fn open_by(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
    clients: Clients,
) -> Box<dyn Table> {
    let registered = registered_name(type_name, mode, flags);
    if let Some(shared) = find(&registered) {
        return Box::new(shared);
    }
    let means = Means {
        clients,
        unusable: Unusable::StandIn,
    };
    let opened = open_new(config, type_name, mode, flags, means);
    let table = opened.unwrap_or_else(|error| stand_in(type_name, flags, &error));
    Box::new(register(registered, table))
}

fn stand_in(type_name: &str, flags: Flags, error: &OpenError) -> Box<dyn Table> {
    log::error!("{error}");
    Box::new(Surrogate::new(type_name, flags, error))
}

/// As [`open_mode`], where the caller decides what an error means. Of a table made of tables this is the
/// table itself; a part that cannot be opened makes lookups fail that need it.
pub fn try_open(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let registered = registered_name(type_name, mode, flags);
    if let Some(shared) = find(&registered) {
        return Ok(Box::new(shared));
    }
    let means = Means {
        clients: open_client,
        unusable: Unusable::StandIn,
    };
    let table = open_new(config, type_name, mode, flags, means)?;
    Ok(Box::new(register(registered, table)))
}

/// As [`try_open`] for commands: every part has to be usable, nobody shares the handle, and
/// [`changed_table`] does not know it.
pub fn open_own(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let means = Means {
        clients: open_client,
        unusable: Unusable::Refuse,
    };
    open_new(config, type_name, mode, flags, means)
}

/// Opens a table that is a part of another one.
#[cfg(feature = "memcache")]
pub(crate) fn open_part(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
    unusable: Unusable,
) -> Result<Box<dyn Table>, OpenError> {
    match unusable {
        Unusable::StandIn => Ok(open_mode(config, type_name, mode, flags)),
        Unusable::Refuse => open_own(config, type_name, mode, flags),
    }
}

/// Starts to build the table `type:name` as a whole.
pub fn create(
    config: &Config,
    type_name: &str,
    flags: Flags,
) -> Result<Box<dyn Builder>, OpenError> {
    let type_name = redirected(config, type_name, true)?;
    let (kind, name) = split_type_name(&type_name)?;
    match kind {
        "hash" => bdb::create(bdb::Kind::Hash, name, flags),
        "btree" => bdb::create(bdb::Kind::Btree, name, flags),
        "cdb" => cdb::create(name, flags),
        "lmdb" => lmdb::create(name, flags, lmdb_map_size(config)),
        "fail" => Ok(Box::new(simple::Fail::open(name, flags))),
        "proxy" => Err(OpenError(
            "can't create maps via the proxy service".to_owned(),
        )),
        _ => Err(not_creatable(config, kind)),
    }
}

/// Types that `postmap` can build or add entries to.
const CREATABLE: [&str; 5] = ["btree", "cdb", "fail", "hash", "lmdb"];

/// The types of this crate, sorted, as `postconf -m` lists them.
pub const TYPES: [&str; 29] = [
    "btree",
    "cdb",
    "cidr",
    "debug",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "nis",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "redis",
    "regexp",
    "socketmap",
    "sqlite",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
];

/// Fails for types that `postmap` cannot build, in the words of the level.
pub fn check_creatable(config: &Config, type_name: &str) -> Result<(), OpenError> {
    let (kind, _) = split_type_name(type_name)?;
    if CREATABLE.contains(&kind) {
        Ok(())
    } else {
        Err(not_creatable(config, kind))
    }
}

fn not_creatable(config: &Config, kind: &str) -> OpenError {
    let known = TYPES.contains(&kind);
    OpenError(match (config.look().message_texts(), known) {
        (true, true) => format!("no 'map create' support for this type: {kind}"),
        (true, false) => format!("unsupported map type: {kind}"),
        (false, true) => {
            format!("unsupported dictionary type: {kind} does not support bulk-mode creation.")
        }
        (false, false) => {
            format!("unsupported dictionary type: {kind}. Is the postfix-{kind} package installed?")
        }
    })
}

/// The registered name of an open table whose file changed, if any: long-running programs log
/// `table NAME has changed -- restarting` and exit.
pub fn changed_table() -> Option<String> {
    let open: Vec<(String, Handle)> = lock(&OPEN)
        .iter()
        .filter_map(|(name, weak)| Some((name.clone(), weak.upgrade()?)))
        .collect();
    open.into_iter()
        .find(|(_, handle)| lock(handle).changed())
        .map(|(name, _)| name)
}

/// Splits `type:name` at the first colon.
pub fn split_type_name(type_name: &str) -> Result<(&str, &str), OpenError> {
    match type_name.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok((kind, name)),
        _ => Err(OpenError(format!(
            "open dictionary: expecting \"type:name\" form instead of \"{type_name}\""
        ))),
    }
}

fn registered_name(type_name: &str, mode: OpenMode, flags: Flags) -> String {
    format!("{type_name}({:o},{})", mode.open_flags(), flags.words())
}

/// Tables inside each other. Each level needs its part of the stack, whoever wrote the table's name.
const DEPTH: u32 = 200;

/// What becomes of a table made of tables when one of its parts cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is not opened, either: a command ends and says why.
    Refuse,
    /// The error is logged, and a surrogate takes the part's place.
    StandIn,
}

/// How a program opens tables.
#[derive(Clone, Copy)]
struct Means {
    clients: Clients,
    unusable: Unusable,
}

/// Opens a table that is not yet open, with the common layer around it.
fn open_new(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
    means: Means,
) -> Result<Box<dyn Table>, OpenError> {
    let layer = open_layer(config, type_name, mode, flags, means, DEPTH)?;
    Ok(Box::new(layer))
}

fn open_layer(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
    means: Means,
    depth: u32,
) -> Result<Layer, OpenError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(OpenError(format!(
            "more than {DEPTH} tables inside each other: \"{}\"",
            type_name.get(..100).unwrap_or(type_name)
        )));
    };
    let type_name = &*redirected(config, type_name, false)?;
    let (kind, name) = split_type_name(type_name)?;
    let mut member = |inner: &str| -> Result<Box<dyn Table>, OpenError> {
        match open_layer(config, inner, mode, flags, means, depth) {
            Ok(layer) => Ok(Box::new(layer.into_member())),
            Err(error) if means.unusable == Unusable::StandIn => Ok(stand_in(inner, flags, &error)),
            Err(error) => Err(error),
        }
    };
    let engine = match kind {
        "pipemap" => composite::open(Join::Pipe, name, mode, flags, &mut member)?,
        "unionmap" => composite::open(Join::Union, name, mode, flags, &mut member)?,
        "debug" => Box::new(Debug::new(name, member(name)?)),
        "proxy" if flags.contains(Flags::NO_PROXY) => {
            return open_layer(config, name, mode, flags, means, depth);
        }
        _ if CLIENTS.contains(&kind) => {
            (means.clients)(config, type_name, mode, flags, means.unusable)?
        }
        _ => open_engine(config, type_name, mode, flags)?,
    };
    Ok(Layer::new(engine, flags, utf8_enabled(config)))
}

/// [`open`] or [`open_small`].
pub(crate) type Opener = fn(&Config, &str, Flags) -> Box<dyn Table>;

/// Opens a table of one of the types [`CLIENTS`].
///
/// It is handed down as a function so that the linker sees which programs need the libraries behind it.
type Clients = fn(&Config, &str, OpenMode, Flags, Unusable) -> Result<Box<dyn Table>, OpenError>;

/// Types that bring a client library.
const CLIENTS: [&str; 7] = [
    "ldap", "memcache", "mongodb", "mysql", "pgsql", "redis", "sqlite",
];

/// Opens the bare table of a type that brings a library: one line per type.
fn open_client(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
    unusable: Unusable,
) -> Result<Box<dyn Table>, OpenError> {
    let (kind, name) = split_type_name(type_name)?;
    match kind {
        #[cfg(feature = "ldap")]
        "ldap" => crate::ldap::open(config, name, mode, flags),
        #[cfg(feature = "memcache")]
        "memcache" => crate::memcache::open(config, name, mode, flags, unusable),
        #[cfg(feature = "mongodb")]
        "mongodb" => crate::mongodb::open(config, name, mode, flags),
        #[cfg(feature = "mysql")]
        "mysql" => crate::sql::mysql::open(config, name, mode, flags),
        #[cfg(feature = "pgsql")]
        "pgsql" => crate::sql::pgsql::open(config, name, mode, flags),
        #[cfg(feature = "redis")]
        "redis" => crate::redis::open(config, name, mode, flags),
        #[cfg(feature = "sqlite")]
        "sqlite" => crate::sql::sqlite::open(config, name, mode, flags),
        _ => Err(OpenError(format!("unsupported dictionary type: {kind}"))),
    }
}

/// Opens the bare table of any other type: one line per type.
pub(crate) fn open_engine(
    config: &Config,
    type_name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let (kind, name) = split_type_name(type_name)?;
    let utf8 = utf8_enabled(config);
    match kind {
        "static" => simple::open_static(name, flags),
        "inline" => simple::open_inline(name, mode, flags, utf8),
        "internal" => Ok(simple::open_internal(name, flags)),
        "environ" => Ok(simple::open_environ(name, flags)),
        "fail" => Ok(Box::new(simple::Fail::open(name, flags))),
        "randmap" => simple::open_randmap(name, mode, flags),
        "texthash" => texthash::open(name, mode, flags, utf8),
        "unix" => unix::open(name, mode, flags),
        "nis" => nis::open(name, mode, flags),
        "cidr" => cidr::open(name, mode, flags),
        "regexp" => rules::open(Syntax::Posix, name, mode, flags),
        "pcre" => rules::open(Syntax::Perl, name, mode, flags),
        "hash" => bdb::open(bdb::Kind::Hash, name, mode, flags),
        "btree" => bdb::open(bdb::Kind::Btree, name, mode, flags),
        "cdb" => cdb::open(name, mode, flags, config.look().message_texts()),
        "lmdb" => lmdb::open(name, mode, flags, lmdb_map_size(config)),
        "tcp" => tcp::open(name, mode, flags),
        "socketmap" => {
            let limit = usize::try_from(config.get(params::SOCKETMAP_MAX_REPLY_SIZE)).unwrap_or(0);
            socketmap::open(name, mode, flags, limit, config.look().message_texts())
        }
        "proxy" => proxy::open(config, name, mode, flags),
        _ => Err(OpenError(format!("unsupported dictionary type: {kind}"))),
    }
}

fn lmdb_map_size(config: &Config) -> usize {
    usize::try_from(config.get(params::LMDB_MAP_SIZE)).unwrap_or(usize::MAX)
}

fn utf8_enabled(config: &Config) -> bool {
    config.get(params::SMTPUTF8_ENABLE)
}

fn find(registered: &str) -> Option<Shared> {
    let handle = lock(&OPEN).get(registered)?.upgrade()?;
    Some(Shared::new(registered.to_owned(), handle))
}

fn register(registered: String, table: Box<dyn Table>) -> Shared {
    let handle = Arc::new(Mutex::new(table));
    let mut open = lock(&OPEN);
    open.retain(|_, weak| weak.strong_count() > 0);
    open.insert(registered.clone(), Arc::downgrade(&handle));
    drop(open);
    Shared::new(registered, handle)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One user's view of a handle that others may use, too.
struct Shared {
    registered: String,
    name: String,
    flags: Flags,
    handle: Handle,
}

impl Shared {
    fn new(registered: String, handle: Handle) -> Self {
        let (name, flags) = {
            let table = lock(&handle);
            (table.name().to_owned(), table.flags())
        };
        Self {
            registered,
            name,
            flags,
            handle,
        }
    }

    /// Logs the reason where Postfix's programs end with it: this one goes on, and what it was doing is
    /// put off.
    fn told<T>(answer: Result<T, LookupError>) -> Result<T, LookupError> {
        answer.inspect_err(|error| {
            if error.kind == ErrorKind::Fatal {
                log::warn!("{}", error.reason);
            }
        })
    }
}

impl Table for Shared {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        Self::told(lock(&self.handle).lookup(key))
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        Self::told(lock(&self.handle).update(key, value))
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        Self::told(lock(&self.handle).delete(key))
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        Self::told(lock(&self.handle).sequence(restart))
    }
    fn changed(&self) -> bool {
        lock(&self.handle).changed()
    }
    fn owner(&self) -> Owner {
        lock(&self.handle).owner()
    }
    fn registered_name(&self) -> String {
        self.registered.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_cannot_be_served_say_why() {
        let config = Config::from_text("").unwrap();
        let refused = |name: &str| {
            let opened = try_open(&config, name, OpenMode::Read, Flags::NONE);
            opened.err().unwrap().to_string()
        };
        assert_eq!(refused("nosuch:/x"), "unsupported dictionary type: nosuch");
        let mut table = open(&config, "nosuch:/x", Flags::NONE);
        assert!(
            table.lookup(BStr::new("k")).is_err(),
            "an error, not a miss"
        );
    }

    #[test]
    fn a_part_that_cannot_be_opened_fails_where_it_is_needed() {
        let config = Config::from_text("").unwrap();
        let ask = |name: &str| {
            let mut table = open(&config, name, Flags::NONE);
            let value = table.lookup(BStr::new("a"));
            value.map_err(|error| error.reason)
        };
        let missing = "open database /no/such.db: No such file or directory".to_owned();
        for empty in ["{a=b, {}}", "{a=b, { }}"] {
            let why = "no key found; expected format: key = value";
            let want = format!("{why}: \"inline:{empty}\"; need \"inline:{{name=value...}}\"");
            assert_eq!(ask(&format!("inline:{empty}")), Err(want));
        }
        #[rustfmt::skip]
        let cases = [
            ("pipemap:{inline:{a=b}, hash:/no/such}", Err(missing.clone())),
            ("pipemap:{inline:{x=b}, hash:/no/such}", Ok(None)),
            ("unionmap:{static:b, hash:/no/such}", Err(missing)),
            ("unionmap:{hash:/no/such, fail:x}", Err("open database /no/such.db: No such file or directory".to_owned())),
        ];
        for (name, want) in cases {
            assert_eq!(ask(name), want, "{name}");
            let refused = open_own(&config, name, OpenMode::Read, Flags::NONE);
            assert!(refused.is_err(), "a command ends: {name}");
        }
    }

    #[test]
    fn contents_of_files_are_decoded_once_however_many_tables_are_around() {
        let config = Config::from_text("compatibility_level = 3.11\n").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "one\ntwo\n").unwrap();
        let file = file.display();
        #[rustfmt::skip]
        let cases = [
            format!("static:{file}"), format!("inline:{{k={file}}}"), format!("pipemap:{{static:{file}}}"),
            format!("unionmap:{{static:{file}}}"), format!("debug:static:{file}"), format!("randmap:{{{file}}}"),
            format!("debug:unionmap:{{pipemap:{{inline:{{k={file}}}}}}}"),
        ];
        for name in cases {
            let mut table = open(&config, &name, Flags::SRC_RHS_IS_FILE);
            let value = table.lookup(BStr::new("k"));
            assert_eq!(value.unwrap().unwrap(), "one\ntwo\n", "{name}");
        }
    }

    #[test]
    fn tables_are_not_nested_without_end() {
        let config = Config::from_text("").unwrap();
        let nested = |kind: &str, depth: usize, end: &str| {
            let name = format!("{}static:x{}", kind.repeat(depth), end.repeat(depth));
            open_own(&config, &name, OpenMode::Read, Flags::NO_PROXY).map(|_| ())
        };
        for (kind, end) in [
            ("unionmap:{", "}"),
            ("pipemap:{", "}"),
            ("debug:", ""),
            ("proxy:", ""),
        ] {
            assert_eq!(nested(kind, 150, end), Ok(()), "{kind}");
            let text = nested(kind, 20_000, end).unwrap_err().to_string();
            assert!(
                text.starts_with("more than 200 tables inside each other: "),
                "{text}"
            );
        }
    }

    #[test]
    fn values_of_randmap_keep_their_braces() {
        let config = Config::from_text("").unwrap();
        for (list, want) in [
            ("{a}", "a"),
            ("{{a b}}", "{a b}"),
            ("{ {a} {a} }", "{a}"),
            ("{{a}x}", "{a}x"),
        ] {
            let mut table = open(&config, &format!("randmap:{list}"), Flags::NONE);
            let value = table.lookup(BStr::new("k"));
            assert_eq!(value.unwrap().unwrap(), want, "{list}");
        }
    }

    #[test]
    fn listed_types_are_sorted_and_known() {
        assert!(TYPES.is_sorted());
        let config = Config::from_text("").unwrap();
        for kind in TYPES {
            let opened = try_open(
                &config,
                &format!("{kind}:/nonexistent/x"),
                OpenMode::Read,
                Flags::NO_PROXY,
            );
            let text = opened
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(
                !text.starts_with(&format!("unsupported dictionary type: {kind}")),
                "{text}"
            );
        }
    }
}
