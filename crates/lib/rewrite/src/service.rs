//! What a program holds that rewrites and resolves addresses: in process, or by asking.

use std::time::{Duration, Instant};

use bstr::{BStr, BString};
use postern_attr::{Encoding, Extra};
use postern_config::master_cf::{self, ServiceType};
use postern_config::words::grouped_words;
use postern_config::{Config, params};
use postern_dict::LookupError;
use postern_ipc::client::{Endpoint, PRIVATE, Persistent};
use postern_ipc::rewrite::{PROTOCOL, ResolveReply, ResolveRequest, resolve_flag};
use postern_mail::address;
use postern_maillog::under_tag;

use crate::{Context, Resolved, Resolver, Rewriter};

/// How long an answer is remembered, as Postfix's clients do.
const CACHE_TTL: Duration = Duration::from_secs(30);
/// How long it is remembered that there was no answer: one SMTP command asks more than once, and
/// each time might take its while.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// Who rewrites and resolves, as far as the log is concerned.
const SERVICE_PROGRAM: &str = "trivial-rewrite";
/// Remembered answers: the sender and a few recipients of one transaction.
const CACHE_SIZE: usize = 8;
/// Files of address lists may name other files; deeper is not followed.
const MAX_FILE_DEPTH: u32 = 3;

/// Rewrites and resolves for one program.
pub struct AddressService {
    rewriter: Rewriter,
    backend: Backend,
    cache: Vec<Remembered>,
}

enum Backend {
    Here(Box<Here>),
    Service(Box<Persistent>),
}

struct Here {
    config: Config,
    /// Under which problems with tables are logged.
    tag: String,
    mail: Resolver,
    /// Opened with the first probe.
    probe: Option<Resolver>,
}

/// Which transports a resolve request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Resolve,
    Verify,
}

struct Remembered {
    kind: Kind,
    sender: BString,
    address: BString,
    answer: Resolved,
    until: Instant,
}

impl AddressService {
    /// Works in process when it is known what the rewrite service would do and [`tables_open_here`], else
    /// asks that service. Call it before the process gives up privileges or its root directory.
    pub fn new(config: &Config) -> Self {
        match service_settings(config) {
            Some(own) if tables_open_here(&own) => Self::in_process(&own),
            own => Self::asking(config, own, config.get(params::IPC_TIMEOUT)),
        }
    }

    /// Works in process with the settings of the rewrite service; opens the tables.
    fn in_process(own: &Config) -> Self {
        let mut tag = format!("{}/{SERVICE_PROGRAM}", own.get(params::SYSLOG_NAME));
        let here = Here {
            mail: under_tag(&mut tag, || Resolver::new(own)),
            config: own.clone(),
            probe: None,
            tag,
        };
        Self {
            rewriter: Rewriter::new(own),
            backend: Backend::Here(Box::new(here)),
            cache: Vec::new(),
        }
    }

    /// Asks the service `rewrite_service_name` over a kept connection; reads and writes time out
    /// after `timeout`.
    pub fn by_service(config: &Config, timeout: Duration) -> Self {
        Self::asking(config, service_settings(config), timeout)
    }

    /// The same; `own` are the service's settings, where they are known.
    fn asking(config: &Config, own: Option<Config>, timeout: Duration) -> Self {
        let service = config.get(params::REWRITE_SERVICE_NAME);
        let limits = (config.get(params::IPC_IDLE), config.get(params::IPC_TTL));
        let at = Endpoint::new(PRIVATE, &service);
        let client = Persistent::new(at, PROTOCOL, Encoding::Null, timeout, Some(limits));
        Self {
            rewriter: Rewriter::with_settings(config, own),
            backend: Backend::Service(Box::new(client)),
            cache: Vec::new(),
        }
    }

    /// Whether this process answers by itself.
    pub fn is_in_process(&self) -> bool {
        matches!(self.backend, Backend::Here(_))
    }

    /// Rewrites an address to standard form; external form in and out. That asks no table, and is done in
    /// process always.
    ///
    /// # Errors
    ///
    /// As [`Rewriter::rewrite`].
    pub fn rewrite(&mut self, rule: Context, address: &BStr) -> Result<BString, LookupError> {
        let standard = self.rewriter.rewrite(rule, address)?;
        log::debug!("rewrite_clnt: {}: {address} -> {standard}", rule.as_str());
        Ok(standard)
    }

    /// As [`AddressService::rewrite`], for an address in internal form.
    ///
    /// # Errors
    ///
    /// As [`Rewriter::rewrite`].
    pub fn rewrite_internal(
        &mut self,
        rule: Context,
        address: &BStr,
    ) -> Result<BString, LookupError> {
        let external = address::quote(address);
        let rewritten = self.rewrite(rule, external.as_ref())?;
        Ok(address::unquote(rewritten.as_ref()))
    }

    /// Resolves a recipient (internal form) of mail from `sender` (internal form). An answer that
    /// [`Resolved::failed`], too, when the service is asked and gives none for a while.
    pub fn resolve(&mut self, sender: &BStr, address: &BStr) -> Resolved {
        self.ask(Kind::Resolve, sender, address)
    }

    /// As [`AddressService::resolve`] for address probes.
    pub fn verify(&mut self, sender: &BStr, address: &BStr) -> Resolved {
        self.ask(Kind::Verify, sender, address)
    }

    /// The registered name of a table that changed since it was opened: log
    /// `table NAME has changed -- restarting` and end.
    pub fn tables_changed(&self) -> Option<String> {
        match self.backend {
            Backend::Here(_) => postern_dict::changed_table(),
            Backend::Service(_) => None,
        }
    }

    fn ask(&mut self, kind: Kind, sender: &BStr, address: &BStr) -> Resolved {
        let now = Instant::now();
        self.cache.retain(|known| known.until > now);
        let known = |known: &&Remembered| {
            known.kind == kind && known.address == address && known.sender == sender
        };
        if let Some(known) = self.cache.iter().find(known) {
            return known.answer.clone();
        }
        let answer = self.backend.resolve(kind, sender, address);
        log::debug!("resolve_clnt: `{sender}' -> `{address}' -> {answer}");
        if self.cache.len() >= CACHE_SIZE {
            self.cache.remove(0);
        }
        let ttl = if answer.failed() {
            FAILURE_TTL
        } else {
            CACHE_TTL
        };
        self.cache.push(Remembered {
            kind,
            sender: sender.to_owned(),
            address: address.to_owned(),
            answer: answer.clone(),
            // A failure may have taken its time.
            until: Instant::now() + ttl,
        });
        answer
    }
}

impl Backend {
    fn resolve(&mut self, kind: Kind, sender: &BStr, address: &BStr) -> Resolved {
        match self {
            Self::Here(here) => {
                let mut tag = std::mem::take(&mut here.tag);
                let answer = under_tag(&mut tag, || here.resolver(kind).resolve(sender, address));
                here.tag = tag;
                answer
            }
            Self::Service(service) => ask_service(service, kind, sender, address),
        }
    }
}

impl Here {
    fn resolver(&mut self, kind: Kind) -> &mut Resolver {
        match kind {
            Kind::Resolve => &mut self.mail,
            Kind::Verify => self
                .probe
                .get_or_insert_with(|| Resolver::for_verify(&self.config)),
        }
    }
}

fn ask_service(service: &mut Persistent, kind: Kind, sender: &BStr, address: &BStr) -> Resolved {
    let request = ResolveRequest {
        request: match kind {
            Kind::Resolve => "resolve",
            Kind::Verify => "verify",
        }
        .to_owned(),
        sender: sender.to_owned(),
        address: address.to_owned(),
    };
    // Postfix's clients ask for ever; mail is better put off.
    let reply: ResolveReply = match service.ask_patiently(&request, Extra::Refuse) {
        Ok(reply) => reply,
        Err(_) => return Resolved::failure(),
    };
    if reply.server_flags != 0 {
        service.close();
    }
    let mut flags = reply.result_flags;
    // Here, too, Postfix's clients ask again for ever.
    if reply.transport.is_empty() {
        log::warn!("resolve_clnt: null transport result for: <{address}>");
        flags |= resolve_flag::FAIL;
    } else if reply.recipient.is_empty() && !address.is_empty() {
        log::warn!("resolve_clnt: null recipient result for: <{address}>");
        flags |= resolve_flag::FAIL;
    }
    Resolved {
        transport: reply.transport,
        nexthop: reply.nexthop,
        recipient: reply.recipient,
        flags,
    }
}

impl Rewriter {
    /// Rewrites as the service `rewrite_service_name` does; `config` is that of another program.
    pub fn of_service(config: &Config) -> Self {
        Self::with_settings(config, service_settings(config))
    }

    fn with_settings(config: &Config, own: Option<Config>) -> Self {
        Self::new(&own.unwrap_or_else(|| config.without_overrides()))
    }
}

/// main.cf as the service `rewrite_service_name` sees it: with what its entry in master.cf overrides, and
/// without what that of the asking program does. `None` when this is not trivial-rewrite(8), or cannot
/// be known.
fn service_settings(config: &Config) -> Option<Config> {
    let service = config.get(params::REWRITE_SERVICE_NAME);
    let mut own = config.without_overrides();
    match master_cf::load(config) {
        Ok(found) => {
            let entry = found.services.iter().find(|entry| {
                entry.kind == ServiceType::Unix && entry.private && entry.name == service
            })?;
            if entry.command != SERVICE_PROGRAM {
                return None;
            }
            for text in option_values(&entry.arguments)? {
                own.set_override_text(text).ok()?;
            }
        }
        // Nobody overrides anything.
        Err(_) if !config.directory().join("master.cf").exists() => {}
        Err(_) => return None,
    }
    own.set_names(SERVICE_PROGRAM, &service);
    own.set_reader(SERVICE_PROGRAM);
    Some(own)
}

/// What the options `-o` among the arguments of an entry say; `None` if there are other arguments.
fn option_values(arguments: &[String]) -> Option<Vec<&str>> {
    let mut values = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix("-o")? {
            "" => values.push(rest.next()?.as_str()),
            value => values.push(value),
        }
    }
    Some(values)
}

/// Whether every table that resolving needs can be opened by this process, so that it gives the
/// answers that the service gives. `config` is that of the service.
///
/// Tables behind `proxy:`, tables that need a server of their own (one connection per process is
/// too many) and tables that depend on the process (`environ:`, `unix:`) stay with the service.
fn tables_open_here(config: &Config) -> bool {
    let lists = [
        params::MYDESTINATION,
        params::VIRTUAL_ALIAS_DOMAINS,
        params::VIRTUAL_MAILBOX_DOMAINS,
        params::RELAY_DOMAINS,
        params::TRANSPORT_MAPS,
        params::RELOCATED_MAPS,
        params::SENDER_DEPENDENT_RELAYHOST_MAPS,
        params::SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
        params::ADDRESS_VERIFY_TRANSPORT_MAPS,
        params::ADDRESS_VERIFY_SENDER_DEPENDENT_RELAYHOST_MAPS,
        params::ADDRESS_VERIFY_SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    ];
    lists
        .iter()
        .all(|list| list_opens_here(&config.get(*list), MAX_FILE_DEPTH))
}

fn list_opens_here(list: &str, depth: u32) -> bool {
    grouped_words(list)
        .into_iter()
        .all(|item| item_opens_here(item.trim_start_matches('!'), depth))
}

fn item_opens_here(item: &str, depth: u32) -> bool {
    if item.starts_with('/') {
        // A file of patterns.
        return depth > 0
            && std::fs::read_to_string(item)
                .is_ok_and(|text| list_opens_here(&without_comments(&text), depth - 1));
    }
    if item.starts_with('[') {
        return true;
    }
    let Some((kind, name)) = item.split_once(':') else {
        return true;
    };
    match kind {
        "inline" | "static" | "fail" | "randmap" => true,
        "hash" | "btree" => is_readable(name, ".db"),
        "lmdb" => is_readable(name, ".lmdb"),
        "cdb" => is_readable(name, ".cdb"),
        "texthash" => is_readable(name, ""),
        "cidr" | "regexp" | "pcre" => name.starts_with('{') || is_readable(name, ""),
        "pipemap" | "unionmap" => {
            let members = name
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            members.is_some_and(|members| list_opens_here(members, depth))
        }
        _ => false,
    }
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_readable(name: &str, suffix: &str) -> bool {
    std::fs::File::open(format!("{name}{suffix}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    #[test]
    fn tables_that_need_another_process_leave_the_work_to_the_service() {
        let directory =
            std::env::temp_dir().join(format!("postern-rewrite-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let plain = file("plain", "# proxy:comment\na.test\nb.test\n");
        let proxied = file("proxied", "a.test\nproxy:mysql:/x\n");
        let map = file("map.db", "");
        let map = map.strip_suffix(".db").unwrap();
        let cases = [
            ("".to_owned(), true),
            ("relay_domains = a.test, !b.test, [::1]".to_owned(), true),
            ("transport_maps = inline:{a=b:} static:x".to_owned(), true),
            (
                "transport_maps = unionmap:{static:a, inline:{a=b}}".to_owned(),
                true,
            ),
            (
                "transport_maps = unionmap:{static:a, proxy:static:b}".to_owned(),
                false,
            ),
            (
                "virtual_mailbox_domains = proxy:mysql:/etc/x.cf".to_owned(),
                false,
            ),
            ("transport_maps = mysql:/etc/x.cf".to_owned(), false),
            ("virtual_alias_maps = ldap:/etc/x.cf".to_owned(), false),
            (
                "virtual_alias_maps = ldap:/etc/x.cf\nvirtual_alias_domains = a.test".to_owned(),
                true,
            ),
            ("transport_maps = environ:x".to_owned(), false),
            (format!("transport_maps = hash:{map}"), true),
            (format!("transport_maps = hash:{map}x"), false),
            (format!("relay_domains = {plain}"), true),
            (format!("relay_domains = {proxied}"), false),
            (format!("relay_domains = {plain}x"), false),
        ];
        for (text, want) in cases {
            assert_eq!(tables_open_here(&config(&text)), want, "{text}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_service_s_own_entry_says_how_addresses_are_resolved() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("main.cf", "myhostname = m.test\nmydomain = m.test\n");
        let rewrite = "rewrite unix - - n - - ";
        #[rustfmt::skip]
        let cases = [
            // Entry, options of the asking program, in process, transport of u@a.test.
            ("trivial-rewrite", ("x", "y"), true, "smtp"),
            ("trivial-rewrite", ("transport_maps", "static:wrong:"), true, "smtp"),
            ("trivial-rewrite -o transport_maps=static:right:", ("transport_maps", "static:wrong:"), true, "right"),
            ("trivial-rewrite -o { transport_maps = inline:{a.test=right:} }", ("x", "y"), true, "right"),
            ("trivial-rewrite -otransport_maps=$extra -o extra=static:right:", ("x", "y"), true, "right"),
            ("trivial-rewrite -o transport_maps=mysql:/x", ("x", "y"), false, ""),
            ("trivial-rewrite -v", ("x", "y"), false, ""),
            ("other-rewrite", ("x", "y"), false, ""),
            ("trivial-rewrite", ("rewrite_service_name", "unheard-of"), false, ""),
        ];
        for (entry, (name, value), here, want) in cases {
            write("master.cf", &format!("{rewrite}{entry}\n"));
            let mut config = Config::load_from(directory.path()).unwrap();
            config.set_override(name, value);
            let mut service = AddressService::new(&config);
            assert_eq!(service.is_in_process(), here, "{entry} {name}");
            if here {
                let found = service.resolve(BStr::new(""), BStr::new("u@a.test"));
                assert_eq!(found.transport, want, "{entry} {name}");
            }
        }
        write(
            "master.cf",
            &format!("{rewrite}trivial-rewrite -o myorigin=o.test\n"),
        );
        let mut config = Config::load_from(directory.path()).unwrap();
        config.set_override("myorigin", "wrong.test");
        let rewritten = Rewriter::of_service(&config).rewrite(Context::Local, BStr::new("u"));
        assert_eq!(rewritten, Ok(BString::from("u@o.test")));
    }

    #[test]
    fn both_ways_give_the_same_kind_of_answer() {
        let config = config("relay_domains = r.test\naddress_verify_relay_transport = probe");
        let mut service = AddressService::new(&config);
        assert!(service.is_in_process());
        let (sender, address) = (BStr::new(""), BStr::new("u@r.test"));
        for _ in 0..2 * CACHE_SIZE {
            assert_eq!(service.resolve(sender, address).transport, "relay");
            assert_eq!(service.verify(sender, address).transport, "probe");
        }
        assert_eq!(service.cache.len(), 2);
        let rewritten = service.rewrite(Context::Local, BStr::new("u"));
        assert_eq!(rewritten, Ok(BString::from("u@example.test")));
    }

    #[test]
    fn the_cache_is_bounded_and_holds_failures_only_for_a_moment() {
        let mut service = AddressService::in_process(&config("transport_maps = fail:x"));
        assert!(
            service
                .resolve(BStr::new(""), BStr::new("u@a.test"))
                .failed()
        );
        let soon = Instant::now() + FAILURE_TTL;
        assert!(service.cache.iter().all(|known| known.until <= soon));
        let mut service = AddressService::in_process(&config(""));
        for n in 0..3 * CACHE_SIZE {
            service.resolve(BStr::new(""), BStr::new(&format!("u{n}@a.test")));
        }
        assert_eq!(service.cache.len(), CACHE_SIZE);
    }
}
