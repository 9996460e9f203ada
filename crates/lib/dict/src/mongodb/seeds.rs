//! Servers by DNS: `mongodb+srv://name` stands for the SRV records of `_mongodb._tcp.name`, and options of
//! the name's TXT record.
//!
//! Source: MongoDB's specification of the initial discovery of servers.

use postern_dns::{Answer, Data, DnsError, Options, Resolver, Type};

use super::uri::Host;

/// More servers than any name has.
const MOST_RECORDS: usize = 50;

/// The servers of `name` for `service`, and the options of its TXT record. The error is a reason.
pub(super) fn find(name: &str, service: &str) -> Result<(Vec<Host>, String), String> {
    find_with(name, service, |name, rtype| {
        Resolver::system().lookup(name, rtype, Options::default())
    })
}

fn find_with(
    name: &str,
    service: &str,
    lookup: impl Fn(&str, Type) -> Result<Answer, DnsError>,
) -> Result<(Vec<Host>, String), String> {
    let place = format!("_{service}._tcp.{name}");
    let servers = lookup(&place, Type::Srv).map_err(|error| error.text)?;
    let hosts = hosts(name, &servers)?;
    let options = match lookup(name, Type::Txt) {
        Ok(answer) => options(&answer)?,
        Err(error) if error.kind.is_absent() => String::new(),
        Err(error) => return Err(error.text),
    };
    Ok((hosts, options))
}

/// The targets, which have to lie in the domain of `name`: an answer that was forged must not lead us to
/// somebody else.
fn hosts(name: &str, answer: &Answer) -> Result<Vec<Host>, String> {
    let parent = match name.split_once('.') {
        Some((_, parent)) if parent.contains('.') => parent,
        _ => name,
    };
    let suffix = format!(".{}", parent.to_ascii_lowercase());
    let mut hosts = Vec::new();
    for record in answer.records.iter().take(MOST_RECORDS) {
        let Data::Srv { port, target, .. } = &record.data else {
            continue;
        };
        let target = target.trim_end_matches('.').to_ascii_lowercase();
        if !target.ends_with(&suffix) {
            return Err(format!("server {target} is not in domain {parent}"));
        }
        hosts.push(Host::Inet(target, *port));
    }
    if hosts.is_empty() {
        return Err("no SRV records".to_owned());
    }
    Ok(hosts)
}

/// The text of the one TXT record.
fn options(answer: &Answer) -> Result<String, String> {
    let mut texts = answer.records.iter().filter_map(|record| match &record.data {
        Data::Txt(strings) => Some(strings.concat()),
        _ => None,
    });
    let first = texts.next().unwrap_or_default();
    if texts.next().is_some() {
        return Err("more than one TXT record".to_owned());
    }
    String::from_utf8(first).map_err(|_| "invalid TXT record".to_owned())
}
