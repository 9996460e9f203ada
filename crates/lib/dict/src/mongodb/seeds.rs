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
    let mut texts = answer
        .records
        .iter()
        .filter_map(|record| match &record.data {
            Data::Txt(strings) => Some(strings.concat()),
            _ => None,
        });
    let first = texts.next().unwrap_or_default();
    if texts.next().is_some() {
        return Err("more than one TXT record".to_owned());
    }
    String::from_utf8(first).map_err(|_| "invalid TXT record".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_dns::{ErrorKind, Record};

    fn answer(data: Vec<Data>) -> Answer {
        let records = data.into_iter().map(|data| Record {
            queried: "q".to_owned(),
            name: "q".to_owned(),
            ttl: 60,
            authenticated: false,
            data,
        });
        Answer {
            records: records.collect(),
            canonical: "q".to_owned(),
            authenticated: false,
        }
    }

    fn server(target: &str) -> Data {
        Data::Srv {
            priority: 0,
            weight: 0,
            port: 27018,
            target: target.to_owned(),
        }
    }

    fn text(parts: &[&str]) -> Data {
        let parts = parts.iter().map(|part| part.as_bytes().to_vec());
        Data::Txt(parts.collect())
    }

    /// The servers and options of `name` in a world of these records.
    fn found(name: &str, servers: &[&str], texts: Option<Vec<Data>>) -> Result<String, String> {
        let (hosts, options) = find_with(name, "mongodb", |asked, rtype| {
            let records = if rtype == Type::Srv {
                assert_eq!(asked, format!("_mongodb._tcp.{name}"));
                Some(servers.iter().map(|target| server(target)).collect())
            } else {
                assert_eq!(asked, name);
                texts.clone()
            };
            let missing = || DnsError::new(ErrorKind::NoData, asked, rtype);
            records.map(answer).ok_or_else(missing)
        })?;
        let hosts: Vec<_> = hosts.iter().map(Host::to_string).collect();
        Ok(format!("{} ?{options}", hosts.join(" ")))
    }

    #[test]
    fn servers_lie_in_the_domain_of_the_name() {
        #[rustfmt::skip]
        let cases: &[(&str, &[&str], Result<&str, &str>)] = &[
            ("c.x.test", &["a.x.test", "b.X.test."], Ok("a.x.test:27018 b.x.test:27018 ?")),
            ("c.x.test", &["a.x.test", "b.evil.test"], Err("server b.evil.test is not in domain x.test")),
            ("c.x.test", &["x.test"], Err("server x.test is not in domain x.test")),
            ("c.x.test", &["evilx.test"], Err("server evilx.test is not in domain x.test")),
            ("x.test", &["a.x.test"], Ok("a.x.test:27018 ?")),
            ("x.test", &["a.test"], Err("server a.test is not in domain x.test")),
            ("localhost", &["a.localhost"], Ok("a.localhost:27018 ?")), ("c.x.test", &[], Err("no SRV records")),
        ];
        for (name, servers, want) in cases {
            let found = found(name, servers, None);
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                *want,
                "{name} {servers:?}"
            );
        }
    }

    #[test]
    fn one_txt_record_has_options() {
        let servers = &["a.x.test"];
        let of = |texts: Vec<Data>| found("c.x.test", servers, Some(texts));
        let joined = of(vec![text(&["authSource=users&re", "plicaSet=rs"])]);
        assert_eq!(
            joined.unwrap(),
            "a.x.test:27018 ?authSource=users&replicaSet=rs"
        );
        let two = of(vec![text(&["authSource=a"]), text(&["authSource=b"])]);
        assert_eq!(two.unwrap_err(), "more than one TXT record");
    }
}
