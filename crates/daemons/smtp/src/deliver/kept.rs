//! Sessions that outlive a request: which are kept, and how they are found again (smtp-client.md §7).

use bstr::{BString, ByteSlice};
use postern_ipc::deliver::flag;
use postern_wire::Channel;

use super::{Client, Hop};
use crate::cache::{self, DestinationProperties, EndpointProperties, Kept};
use crate::content::Source;
use crate::features::{Features, Forwardable, Keywords};
use crate::job::Job;
use crate::nexthop::{self, Inet, Place};
use crate::order::Target;
use crate::session::{Peer, Session};

/// Bit in `destination_features`: the host has the best preference.
const BEST_HOST: i32 = 1;

impl Client<'_> {
    /// Whether sessions to this place are kept: always for listed ones, else as qmgr(8) hints.
    pub(super) fn cache_policy(&mut self, job: &Job<'_>, place: &Place) -> (bool, bool) {
        if self.settings.sasl_enable {
            return (false, false);
        }
        let name = nexthop::cache_name(place).as_bytes().as_bstr();
        if !self.tables.cache_destinations.is_empty()
            && self.tables.cache_destinations.matches(name) == Ok(true)
        {
            return (true, true);
        }
        let hint = |bit| self.settings.cache_on_demand && job.request.flags & bit != 0;
        (hint(flag::CACHE_LOAD), hint(flag::CACHE_STORE))
    }

    /// Tries kept sessions: by destination, then by the addresses of best preference.
    pub(super) fn reuse(
        &mut self,
        job: &mut Job<'_>,
        source: &Source<'_>,
        hop: &mut Hop<'_>,
        inet: &Inet,
        targets: &mut Vec<Target>,
        sessions: &mut usize,
    ) {
        let limit = self.settings.routing.session_limit;
        let label = self.destination_label(&job.request.nexthop);
        if let Some(kept) = self.cache.find_destination(label.as_bstr())
            && let Some(session) = self.revive(job, kept, None)
        {
            let used = session.peer.address.clone();
            let is_used =
                |target: &Target| target.address.to_string().as_bytes() == used.as_bytes();
            if let Some(at) = targets.iter().position(is_used) {
                targets.remove(at);
            }
            *sessions += 1;
            job.final_server = hop.is_final && (targets.is_empty() || *sessions == limit);
            self.converse(job, source, hop, session);
        }
        let mut at = 0;
        while job.has_open() && at < targets.len() && (limit == 0 || *sessions < limit) {
            let Some(target) = targets
                .get(at)
                .filter(|target| target.preference == hop.best)
                .cloned()
            else {
                break;
            };
            let peer = self.peer(&target, inet);
            let Some(session) = self.revive_endpoint(job, &peer) else {
                at += 1;
                continue;
            };
            targets.remove(at);
            *sessions += 1;
            job.final_server = hop.is_final && (targets.is_empty() || *sessions == limit);
            self.converse(job, source, hop, session);
        }
    }

    /// A kept session with this address.
    pub(super) fn revive_endpoint(&mut self, job: &mut Job<'_>, peer: &Peer) -> Option<Session> {
        let label = self.endpoint_label(peer);
        let kept = self.cache.find_endpoint(label.as_bstr())?;
        self.revive(job, kept, Some(peer.clone()))
    }

    /// Puts the session into the cache.
    pub(super) fn keep(&mut self, job: &Job<'_>, session: Session) {
        let features = &session.features;
        let bits =
            i64::from(features.offered.bits()) | i64::from(features.forwardable.bits()) << 32;
        let endpoint = EndpointProperties {
            tls_level: 0,
            reuse_count: session.reuse_count,
            endpoint_features: bits,
            expire_time: session.expires,
            size_limit: features.size_limit,
        };
        let destination = DestinationProperties {
            destination: job.request.nexthop.clone(),
            host_name: session.peer.host.clone(),
            host_addr: session.peer.address.clone(),
            host_port: session.peer.port.map_or(0, i32::from),
            destination_features: BEST_HOST,
        };
        let endpoint_label = self.endpoint_label(&session.peer);
        let destination_label = self.destination_label(&job.request.nexthop);
        let labelled = session.labelled;
        let socket = session.channel.into_fd();
        self.cache.save(
            self.settings.cache_time_limit,
            &socket,
            (endpoint_label.as_bstr(), &endpoint),
            labelled.then_some((destination_label.as_bstr(), &destination)),
        );
    }

    /// A session from the cache, if it still answers. A stale one is closed without a word.
    pub(super) fn revive(
        &mut self,
        job: &mut Job<'_>,
        kept: Kept,
        peer: Option<Peer>,
    ) -> Option<Session> {
        let peer = match (peer, kept.destination) {
            (Some(peer), _) => peer,
            (None, Some(destination)) => Peer {
                host: destination.host_name,
                address: destination.host_addr,
                port: u16::try_from(destination.host_port)
                    .ok()
                    .filter(|port| *port != 0),
            },
            (None, None) => return None,
        };
        let mut session = self.session(Channel::new(kept.socket), peer);
        session.reuse_count = kept.endpoint.reuse_count.saturating_add(1);
        session.expires = kept.endpoint.expire_time;
        let bits = kept.endpoint.endpoint_features;
        session.features = Features {
            offered: Keywords::from_bits(u32::try_from(bits & i64::from(u32::MAX)).unwrap_or(0)),
            forwardable: Forwardable::from_bits(u8::try_from(bits >> 32 & 0xff).unwrap_or(0)),
            size_limit: kept.endpoint.size_limit,
            ..Features::default()
        };
        session.set_timeout(self.settings, self.settings.timeouts.rset);
        let probe = session.exchange(b"RSET", self.settings, self.tables, &job.request.queue_id);
        if !probe.is_ok_and(|reply| reply.is_success()) {
            return None;
        }
        job.begin_session(session.long.as_bstr(), session.reuse_count);
        Some(session)
    }

    /// Label by which sessions to a next hop are found.
    pub(super) fn destination_label(&self, nexthop: &BString) -> BString {
        cache::label(&[self.settings.service.as_bytes(), nexthop])
    }

    /// Label by which sessions to an address are found.
    pub(super) fn endpoint_label(&self, peer: &Peer) -> BString {
        let level = self.settings.tls_level.number().to_string();
        let port = peer.port.map_or_else(String::new, |port| port.to_string());
        cache::label(&[
            self.settings.service.as_bytes(),
            &peer.address,
            port.as_bytes(),
            level.as_bytes(),
        ])
    }
}
