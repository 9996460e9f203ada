//! The peers of `debug_peer_list`, whose sessions are logged verbosely.
//!
//! Knows neither the programs that ask nor what they log. Source: postconf(5).

use bstr::{BStr, ByteSlice};
use postern_config::Config;
use postern_maillog::{Verbose, raise_verbose};
use std::net::IpAddr;

use crate::{MatchKind, MatchList};

/// See the module.
pub struct DebugPeers {
    /// `None` costs nothing per session.
    list: Option<MatchList>,
    level: u32,
}

impl DebugPeers {
    /// `list` and `level` are the values of `debug_peer_list` and `debug_peer_level`.
    pub fn open(config: &Config, list: &str, level: i32) -> Self {
        let list = MatchList::open(config, "debug_peer_list", list, MatchKind::NameAddress);
        Self {
            list: (!list.is_empty()).then_some(list),
            level: u32::try_from(level).unwrap_or(0),
        }
    }

    /// Makes the process more verbose for as long as the result lives, if the list has the peer. An
    /// `address` that is no network address, such as a path, is none. A list that cannot be asked has
    /// nobody: that is logged, and no session fails for it.
    pub fn watch(&mut self, name: &BStr, address: &BStr) -> Option<Verbose> {
        let list = self.list.as_mut()?;
        let is_address = |text: &&str| text.parse::<IpAddr>().is_ok();
        let address = address.to_str().ok().filter(is_address).unwrap_or_default();
        list.matches_client(name, BStr::new(address))
            .unwrap_or(false)
            .then(|| raise_verbose(self.level))
    }
}

impl std::fmt::Debug for DebugPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DebugPeers")
            .field("is_used", &self.list.is_some())
            .field("level", &self.level)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::LevelFilter::{self, Debug, Info, Trace};

    /// The level while the peer is watched.
    fn level(main_cf: &str, list: &str, by: i32, name: &str, address: &str) -> LevelFilter {
        let config = Config::from_text(main_cf).unwrap();
        let mut peers = DebugPeers::open(&config, list, by);
        let _verbose = peers.watch(BStr::new(name), BStr::new(address));
        log::max_level()
    }

    // One test: the level is the whole process's.
    #[test]
    fn sessions_of_listed_peers_are_verbose_and_no_others() {
        postern_maillog::set_verbose(0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers").display().to_string();
        std::fs::write(&path, "10.0.0.1\n!192.0.2.79\n192.0.2.0/24\n").unwrap();
        let other_files = format!("!{path} 0.0.0.0/0");
        let (none, strict) = ("", "parent_domain_matches_subdomains = mynetworks");
        let broken = "parent_domain_matches_subdomains = fail:x";
        #[rustfmt::skip]
        let cases = [
            // main.cf, list, level, name, address, want
            (none,   "",                            2, "h.dbg.example", "192.0.2.77", Info),
            (none,   "dbg.example",                 1, "h.dbg.example", "192.0.2.77", Debug),
            (none,   "dbg.example",                 2, "h.dbg.example", "192.0.2.77", Trace),
            (strict, "dbg.example",                 1, "h.dbg.example", "192.0.2.77", Info),
            (strict, ".dbg.example",                1, "h.dbg.example", "192.0.2.77", Debug),
            (none,   ".dbg.example",                1, "h.dbg.example", "192.0.2.77", Info),
            (none,   "H.dbg.EXAMPLE",               1, "h.dbg.example", "192.0.2.77", Debug),
            (none,   "unknown",                     1, "unknown",       "192.0.2.78", Debug),
            (none,   "unknown",                     1, "h.dbg.example", "192.0.2.77", Info),
            (none,   "!192.0.2.78 192.0.2.0/24",    1, "unknown",       "192.0.2.78", Info),
            (none,   "!192.0.2.78 192.0.2.0/24",    1, "unknown",       "192.0.2.79", Debug),
            (none,   path.as_str(),                 1, "unknown",       "192.0.2.78", Debug),
            (none,   path.as_str(),                 1, "unknown",       "192.0.2.79", Info),
            (none,   other_files.as_str(),          1, "unknown",       "192.0.2.78", Info),
            (none,   other_files.as_str(),          1, "unknown",       "192.0.2.79", Debug),
            (none,   "inline:{{dbg.example=x}}",    1, "h.dbg.example", "192.0.2.77", Debug),
            (none,   "static:x",                    1, "unknown",       "192.0.2.77", Debug),
            (none,   "!static:x",                   1, "unknown",       "192.0.2.77", Info),
            (none,   "[192.0.2.77]",                1, "[192.0.2.77]",  "",           Debug),
            (none,   "192.0.2.77",                  1, "[192.0.2.77]",  "",           Info),
            (none,   "192.0.2.1/24 192.0.2.0/24",   1, "unknown",       "192.0.2.77", Info),
            (none,   "private/lm noaddr",           1, "mx",            "private/lm", Info),
            (none,   "inline:{{private/lm=x}}",     1, "mx",            "private/lm", Info),
            (none,   "inline:{{unix:private/lm=x}}", 1, "unix:private/lm", "",        Debug),
            (none,   "fail:x 192.0.2.0/24",         1, "unknown",       "192.0.2.77", Info),
            (none,   "192.0.2.0/24 fail:x",         1, "unknown",       "192.0.2.77", Debug),
            (none,   "!fail:x",                     1, "unknown",       "192.0.2.77", Info),
            (none,   "/nonexistent 192.0.2.0/24",   1, "unknown",       "192.0.2.77", Info),
            (none,   "! 192.0.2.0/24",              1, "unknown",       "192.0.2.77", Info),
            (broken, "192.0.2.0/24",                1, "unknown",       "192.0.2.77", Info),
        ];
        for (main_cf, list, by, name, address, want) in cases {
            let got = level(main_cf, list, by, name, address);
            assert_eq!(got, want, "{main_cf} {list} {by} {name} {address}");
            assert_eq!(log::max_level(), Info, "{list} {name}: for ever");
        }
    }
}
