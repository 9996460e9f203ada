//! The parameters of an `ldap` table. Source: ldap_table(5), defaults tables.md §7.4.

use bstr::BStr;
use std::time::Duration;

use super::Query;
use super::connection::{Bind, SessionSettings};
use super::expand::{Attributes, Kind};
use super::url::{self, Scope};
use crate::OpenError;
use crate::client_config::ClientConfig;
use crate::expansion::Template;
use crate::tls::TlsFiles;

/// In place of a `timeout` that would wait for ever.
const LONGEST_WAIT: i32 = 3600;

/// How to reach the directory.
pub(super) fn session(
    name: &str,
    settings: &ClientConfig<'_>,
) -> Result<SessionSettings, OpenError> {
    let port = settings.int("server_port", 389, None, None)?;
    let port = u16::try_from(port).map_err(|_| {
        OpenError(format!(
            "{name}: invalid server_port parameter value {port}"
        ))
    })?;
    let host = match settings.get("server_host") {
        Some(_) => settings.required("server_host")?,
        None => "localhost".to_owned(),
    };
    let timeout = seconds(settings)?;
    let (bind, needs_bind_version) = bind(name, settings)?;
    let start_tls = settings.boolean("start_tls", false)?;
    let version = version(name, settings, start_tls, needs_bind_version)?;
    let tls = tls_files(name, settings)?;
    for parameter in ["cache", "cache_expiry", "cache_size"] {
        if settings.get(parameter).is_some() {
            log::warn!("dict_ldap_open: {name} ignoring {parameter}");
        }
    }
    Ok(SessionSettings {
        servers: url::servers(&host, port),
        version,
        timeout: Duration::from_secs(u64::try_from(timeout).unwrap_or(1)),
        bind,
        start_tls,
        tls,
        verify: settings.boolean("tls_require_cert", false)?,
        chase_referrals: chase_referrals(settings)?,
    })
}

fn seconds(settings: &ClientConfig<'_>) -> Result<i32, OpenError> {
    Ok(match settings.int("timeout", 10, None, None)? {
        ..=0 => LONGEST_WAIT,
        seconds => seconds.min(LONGEST_WAIT),
    })
}

/// The manual says `0`, and people write `yes`.
fn chase_referrals(settings: &ClientConfig<'_>) -> Result<bool, OpenError> {
    match settings.get("chase_referrals") {
        Some(text) if text == "0" => Ok(false),
        Some(text) if text == "1" => Ok(true),
        _ => settings.boolean("chase_referrals", false),
    }
}

/// How to bind, and whether that needs protocol version 3.
fn bind(name: &str, settings: &ClientConfig<'_>) -> Result<(Bind, bool), OpenError> {
    let how = settings.string("bind", "yes")?;
    let (dn, password) = (settings.bytes("bind_dn", ""), settings.bytes("bind_pw", ""));
    match how.to_ascii_lowercase().as_str() {
        "no" | "none" => Ok((Bind::None, false)),
        "yes" | "simple" => Ok((Bind::Simple { dn, password }, false)),
        "sasl" => {
            let bind = Bind::Sasl {
                mechanisms: settings.string("sasl_mechs", "")?,
                dn,
                password,
                authorization: settings.bytes("sasl_authz_id", ""),
                min_ssf: settings.int("sasl_minssf", 0, None, None)?,
            };
            Ok((bind, true))
        }
        _ => Err(OpenError(format!(
            "{name}: unsupported parameter value: bind = {how}"
        ))),
    }
}

fn version(
    name: &str,
    settings: &ClientConfig<'_>,
    start_tls: bool,
    is_sasl: bool,
) -> Result<i32, OpenError> {
    let version = match settings.int("version", 3, None, None)? {
        version @ (2 | 3) => version,
        version => {
            log::warn!("dict_ldap_open: {name} Unknown version {version}, using 3.");
            3
        }
    };
    if version == 2 && start_tls {
        log::warn!("dict_ldap_open: {name} start_tls requires protocol version 3");
        return Ok(3);
    }
    Ok(if is_sasl { 3 } else { version })
}

fn tls_files(name: &str, settings: &ClientConfig<'_>) -> Result<TlsFiles, OpenError> {
    let ciphers = settings.string("tls_cipher_suite", "")?;
    if !ciphers.is_empty() {
        log::debug!("{name}: tls_cipher_suite chooses among strong ciphers only");
    }
    Ok(TlsFiles {
        ca_file: settings.string("tls_ca_cert_file", "")?,
        ca_path: settings.string("tls_ca_cert_dir", "")?,
        cert_file: settings.string("tls_cert", "")?,
        key_file: settings.string("tls_key", "")?,
        ciphers,
    })
}

/// What to search for.
pub(super) fn query(name: &str, settings: &ClientConfig<'_>) -> Result<Query, OpenError> {
    let base = Template::query(name, BStr::new(&settings.bytes("search_base", "")))?;
    let filter = settings.bytes("query_filter", "(mailacceptinggeneralid=%s)");
    let template = Template::query(name, BStr::new(&filter))?;
    if !template.is_variable() {
        log::warn!("dict_ldap_open: {name}: Fixed query_filter {filter} is probably useless");
    }
    let old_format = settings.bytes("result_filter", "%s");
    let format = settings.get("result_format").unwrap_or(old_format);
    let result = settings.string("result_attribute", "maildrop")?;
    let special = settings.string("special_result_attribute", "")?;
    let leaf = settings.string("leaf_result_attribute", "")?;
    let terminal = settings.string("terminal_result_attribute", "")?;
    let recursion_limit = settings.int("recursion_limit", 1000, Some(1), None)?;
    let expansion_limit = settings.int("expansion_limit", 0, Some(0), None)?;
    Ok(Query {
        base,
        filter: template,
        format: Template::result(name, BStr::new(&format))?,
        attributes: Attributes::new([
            (Kind::Terminal, &terminal),
            (Kind::Leaf, &leaf),
            (Kind::Result, &result),
            (Kind::Special, &special),
        ]),
        scope: scope(name, settings)?,
        dereference: dereference(name, settings)?,
        size_limit: settings.int("size_limit", expansion_limit, Some(0), None)?,
        expansion_limit: usize::try_from(expansion_limit).unwrap_or(0),
        recursion_limit: usize::try_from(recursion_limit).unwrap_or(1),
        time_limit: seconds(settings)?,
    })
}

fn scope(name: &str, settings: &ClientConfig<'_>) -> Result<Scope, OpenError> {
    let text = settings.string("scope", "sub")?;
    Ok(Scope::parse(&text).unwrap_or_else(|| {
        log::warn!(
            "dict_ldap_open: {name}: Unrecognized value {text} specified for scope; using sub"
        );
        Scope::Sub
    }))
}

fn dereference(name: &str, settings: &ClientConfig<'_>) -> Result<i32, OpenError> {
    let number = settings.int("dereference", 0, None, None)?;
    if (0..=3).contains(&number) {
        return Ok(number);
    }
    log::warn!(
        "dict_ldap_open: {name} Unrecognized value {number} specified for dereference; using 0"
    );
    Ok(0)
}
