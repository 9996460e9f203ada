//! What a process keeps between sessions: settings, open tables, connections to services.

use bstr::{BStr, BString};
use postern_config::{Config, Look, params};
use postern_dict::search::Extensions;
use postern_dict::{
    DebugPeers, Flags, LookupError, Maps, MatchKind, MatchList, ignores_dns_record,
    parent_domain_matches,
};
use postern_dns::{Answer, DnsError, Options, Resolver, Type};
use postern_ipc::probe_sender::ProbeSender;
use postern_rewrite::{AddressService, Context as RewriteContext};
use postern_server::{Client, ClientKind, Context, SingleServer, StartError};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::access::{Restrictions, Verifier, map_spec};
use crate::limits::Limits;
use crate::session::Session;
use crate::settings::{BareNewline, Settings};
use crate::tables::AddressMaps;

/// The lists that sessions ask, most of them about clients.
pub(crate) struct Networks {
    pub(crate) mynetworks: MatchList,
    pub(crate) event_limit_exceptions: MatchList,
    pub(crate) verp_clients: MatchList,
    pub(crate) bare_newline_exclusions: MatchList,
    pub(crate) mx_backup: MatchList,
    /// The sites that flush(8) keeps lists of mail for.
    pub(crate) flush_domains: MatchList,
    /// An entry for a domain in an access table is one for its subdomains, too.
    pub(crate) access_parents: bool,
}

/// See the module.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) set: Settings,
    pub(crate) look: Look,
    pub(crate) restrictions: Restrictions,
    /// Parent domains are written without a dot in access tables.
    pub(crate) extensions: Extensions,
    pub(crate) networks: Networks,
    pub(crate) maps: AddressMaps,
    pub(crate) addresses: AddressService,
    /// The sender of address probes, unless main.cf has nonsense: that is fatal in verify(8) only.
    probe_sender: Option<ProbeSender>,
    pub(crate) verifier: Verifier,
    pub(crate) dns: Resolver,
    /// `smtpd_dns_reply_filter`.
    dns_filter: Maps,
    /// Clients whose sessions are logged.
    pub(crate) debug_peers: DebugPeers,
    pub(crate) limits: Limits,
    pub(crate) queue_directory: PathBuf,
    pub(crate) owner_uid: u32,
    /// Restrictions of old that were warned about.
    pub(crate) said_about_removal: HashSet<&'static str>,
    /// Whether the lack of TLS was warned about.
    pub(crate) missing_tls_said: bool,
    /// Numbers the messages of this process.
    pub(crate) sequence: u64,
    tables: HashMap<String, Maps>,
    own_addresses: Vec<IpAddr>,
}

impl Server {
    /// Reads main.cf and opens tables.
    ///
    /// # Errors
    ///
    /// Settings that no server may run with.
    pub(crate) fn new(config: &Config, service: &str) -> Result<Self, StartError> {
        let set = Settings::load(config).map_err(StartError::new)?;
        let restrictions = Restrictions::load(config);
        let own_addresses = postern_config::own_addresses(config)?;
        let networks = Networks::load(config, &set)?;
        let (maps, addresses) = (AddressMaps::open(config), AddressService::new(config));
        let own_addresses = own_addresses.into_iter().map(|own| own.address).collect();
        let mut server = Self::assemble(
            config,
            service,
            set,
            restrictions,
            networks,
            maps,
            addresses,
            own_addresses,
        );
        server.open_tables();
        server
            .restrictions
            .require_relay_control()
            .map_err(StartError::new)?;
        server.dns_filter = Maps::open(
            config,
            params::SMTPD_DNS_REPLY_FILTER.info.name,
            &config.get(params::SMTPD_DNS_REPLY_FILTER),
            Flags::FOLD_FIX,
        );
        Ok(server)
    }

    /// The server of a local user: it has no restrictions, and the user may not read their tables.
    ///
    /// # Errors
    ///
    /// Settings that mean nothing.
    pub(crate) fn stand_alone(config: &Config) -> Result<Self, StartError> {
        let set = Settings::load(config).map_err(StartError::new)?;
        let maps = AddressMaps::none(config);
        let addresses = AddressService::by_service(config, set.ipc_timeout);
        let restrictions = Restrictions::none();
        Ok(Self::assemble(
            config,
            "smtpd",
            set,
            restrictions,
            Networks::none(config),
            maps,
            addresses,
            Vec::new(),
        ))
    }

    #[allow(clippy::too_many_arguments, reason = "one for each of the parts")]
    fn assemble(
        config: &Config,
        service: &str,
        set: Settings,
        restrictions: Restrictions,
        networks: Networks,
        maps: AddressMaps,
        addresses: AddressService,
        own_addresses: Vec<IpAddr>,
    ) -> Self {
        Self {
            networks,
            maps,
            addresses,
            probe_sender: ProbeSender::new(config).ok(),
            verifier: Verifier::new(config),
            dns: Resolver::system(),
            dns_filter: Maps::open(config, "", "", Flags::NONE),
            debug_peers: DebugPeers::open(
                config,
                &config.get(params::DEBUG_PEER_LIST),
                config.get(params::DEBUG_PEER_LEVEL),
            ),
            limits: Limits::load(config, service),
            queue_directory: config.get(params::QUEUE_DIRECTORY).into(),
            owner_uid: u32::MAX,
            said_about_removal: HashSet::new(),
            missing_tls_said: false,
            sequence: 0,
            extensions: Extensions::from_config(config),
            look: config.look(),
            config: config.clone(),
            tables: HashMap::new(),
            own_addresses,
            set,
            restrictions,
        }
    }

    /// Asks the DNS; what `smtpd_dns_reply_filter` wants ignored is not in the answer.
    ///
    /// # Errors
    ///
    /// Those of [`Resolver::lookup`] and [`Answer::filtered`].
    pub(crate) fn lookup_dns(&mut self, name: &str, rtype: Type) -> Result<Answer, DnsError> {
        let answer = self.dns.lookup(name, rtype, Options::default())?;
        if self.dns_filter.is_empty() {
            return Ok(answer);
        }
        let filter = &mut self.dns_filter;
        answer.filtered(name, rtype, |record| {
            ignores_dns_record(filter, &record.to_string())
        })
    }

    /// Opens what the lists name while that is still possible.
    fn open_tables(&mut self) {
        let mut names: Vec<String> = self.restrictions.tables().map(str::to_owned).collect();
        for param in [
            params::SMTPD_COMMAND_FILTER,
            params::SMTPD_REJECT_FOOTER_MAPS,
            params::SMTPD_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS,
            params::SMTPD_REJECT_FILTER_MAPS,
            params::SMTPD_MILTER_MAPS,
        ] {
            names.push(self.config.get(param));
        }
        let lists = [
            params::LOCAL_HEADER_REWRITE_CLIENTS,
            params::SMTPD_LOG_ACCESS_PERMIT_ACTIONS,
            params::SMTPD_FORBIDDEN_COMMANDS,
            params::SMTPD_NOOP_COMMANDS,
        ];
        for param in lists {
            let value = self.config.get(param);
            names.extend(
                postern_dict::split_list(&value)
                    .into_iter()
                    .filter(|word| word.contains(':'))
                    .map(str::to_owned),
            );
        }
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !name.starts_with('{') {
                self.table(name);
                continue;
            }
            match map_spec::table(name) {
                Ok(table) => drop(self.table(table)),
                Err(complaint) => complaint.iter().for_each(|line| log::warn!("{line}")),
            }
        }
    }

    /// The open table, or tables, of a value.
    fn table(&mut self, value: &str) -> &mut Maps {
        let config = &self.config;
        self.tables
            .entry(value.to_owned())
            .or_insert_with(|| Maps::open(config, value, value, Flags::ADDRESS))
    }

    /// Whether a client is in a list.
    ///
    /// # Errors
    ///
    /// When a table cannot be read; that is logged.
    pub(crate) fn lists_client(
        &mut self,
        list: fn(&mut Networks) -> &mut MatchList,
        client: &crate::client::Client,
    ) -> Result<bool, LookupError> {
        list(&mut self.networks).matches_client(BStr::new(&client.name), BStr::new(&client.address))
    }

    /// Looks a key up in the tables `value`; parts of keys are not shown to pattern tables.
    pub(crate) fn find_in_table(
        &mut self,
        value: &str,
        key: &BStr,
        partial: bool,
    ) -> Result<Option<BString>, LookupError> {
        self.table(value).find(key, partial)
    }

    /// Whether a word is in a list of words and tables.
    pub(crate) fn is_in_list(&mut self, list: &str, word: &str) -> Result<bool, LookupError> {
        for item in postern_dict::split_list(list) {
            let found = if item.contains(':') {
                self.find_in_table(item, BStr::new(word), false)?.is_some()
            } else {
                item.eq_ignore_ascii_case(word)
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether permissions by `action` are logged.
    pub(crate) fn logs_permit(&mut self, action: &str) -> bool {
        let list = self.config.get(params::SMTPD_LOG_ACCESS_PERMIT_ACTIONS);
        !list.is_empty() && self.is_in_list(&list, action).unwrap_or(false)
    }

    /// The sender of address probes, without the time in it, when `address` (internal form) is one that
    /// probes have at about the time `now`, in seconds since 1970.
    pub(crate) fn as_probe_sender(&mut self, address: &BStr, now: i64) -> Option<BString> {
        let probe = self.probe_sender.as_ref()?;
        if !probe.may_be(address) {
            return None;
        }
        let (timeless, valid) = (probe.timeless(), probe.recipients(now));
        let addresses = &mut self.addresses;
        let mut standard = |probe: &BString| {
            addresses
                .rewrite_internal(RewriteContext::Local, probe.as_ref())
                .ok()
        };
        for probe in &valid {
            if standard(probe)?.eq_ignore_ascii_case(address) {
                return standard(&timeless);
            }
        }
        None
    }

    /// Whether an address is one of this system's.
    pub(crate) fn is_own_address(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.own_addresses.contains(&address))
    }
}

impl Networks {
    fn none(config: &Config) -> Self {
        let list = |title| MatchList::open(config, title, "", MatchKind::NameAddress);
        Self {
            mynetworks: list("mynetworks"),
            event_limit_exceptions: list("smtpd_client_event_limit_exceptions"),
            verp_clients: list("smtpd_authorized_verp_clients"),
            bare_newline_exclusions: list("smtpd_forbid_bare_newline_exclusions"),
            mx_backup: list("permit_mx_backup_networks"),
            flush_domains: list("fast_flush_domains"),
            access_parents: false,
        }
    }

    fn load(config: &Config, set: &Settings) -> Result<Self, StartError> {
        let list =
            |title, value: String| MatchList::open(config, title, &value, MatchKind::NameAddress);
        let exclusions = match set.bare_newline {
            BareNewline::Allow => String::new(),
            _ => config.get(params::SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS),
        };
        let access_parents =
            parent_domain_matches(config, "smtpd_access_maps").map_err(|error| {
                let param = params::PARENT_DOMAIN_MATCHES_SUBDOMAINS.info.name;
                StartError::new(format!("{param}: {}: table lookup problem", error.table))
            })?;
        Ok(Self {
            mynetworks: list("mynetworks", config.get(params::MYNETWORKS)),
            event_limit_exceptions: list(
                "smtpd_client_event_limit_exceptions",
                config.get(params::SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS),
            ),
            verp_clients: list(
                "smtpd_authorized_verp_clients",
                config.get(params::SMTPD_AUTHORIZED_VERP_CLIENTS),
            ),
            bare_newline_exclusions: list("smtpd_forbid_bare_newline_exclusions", exclusions),
            mx_backup: list(
                "permit_mx_backup_networks",
                config.get(params::PERMIT_MX_BACKUP_NETWORKS),
            ),
            flush_domains: MatchList::open(
                config,
                "fast_flush_domains",
                &config.get(params::FAST_FLUSH_DOMAINS),
                MatchKind::Domain,
            ),
            access_parents,
        })
    }
}

impl SingleServer for Server {
    const NAME: &'static str = "smtpd";

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let mut server =
            if context.options.stand_alone && postern_sys::user::uid() != context.owner.uid {
                Self::stand_alone(config)?
            } else {
                Self::new(config, &context.service_name)?
            };
        server.owner_uid = context.owner.uid;
        Ok(server)
    }

    fn after_jail(&mut self, context: &Context) -> Result<(), StartError> {
        self.queue_directory.clone_from(&context.queue_directory);
        Ok(())
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, _context: &Context, client: Client) {
        let alone =
            client.kind == ClientKind::StandAlone && postern_sys::user::uid() != self.owner_uid;
        Session::new(self, client, alone).run();
    }
}
