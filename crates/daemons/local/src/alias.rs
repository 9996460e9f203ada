//! Aliases: lookup, owner of the list, rights by the owner of the table (delivery.md §3.3).

use bstr::{BStr, BString, ByteSlice};
use postern_delivery::Outcome;
use postern_dict::Owner;
use postern_mail::address;
use postern_rewrite::Context;
use postern_sys::{error_text, user};

use crate::expand;
use crate::job::{Failure, Job, configuration_error, dsn};
use crate::mail::{LEVEL_LIMIT, LEVEL_STEP, Mail, Source};
use crate::rights::Rights;

/// An alias as found.
struct Found {
    name: BString,
    value: BString,
    /// Registered name of the table.
    table: String,
    owner: Owner,
    /// The extension was not part of the name.
    without_extension: bool,
}

/// Delivers to what the address is an alias for; `None` when it is none.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail) -> Option<Outcome> {
    for (name, without_extension) in names(mail) {
        if mail.expanded_from.as_ref() == Some(&name) {
            continue;
        }
        if mail.level >= LEVEL_LIMIT {
            log::warn!("alias database loop for {name}");
            let reason = format!("alias database loop for {name}");
            return Some(job.fail(mail, &dsn("5.4.6", reason)));
        }
        match find(job, name.as_bstr()) {
            Ok(None) => {}
            Ok(Some((value, table, owner))) => {
                let found = Found {
                    name,
                    value,
                    table,
                    owner,
                    without_extension,
                };
                return Some(expand_alias(job, mail, &found));
            }
            Err(failure) => return Some(job.fail(mail, &failure)),
        }
    }
    None
}

/// Names to look up: with the extension, then without.
fn names(mail: &Mail) -> Vec<(BString, bool)> {
    let mut names = vec![(mail.parts.local.clone(), false)];
    if mail.parts.extension.is_some() {
        names.push((mail.parts.user.clone(), true));
    }
    names
}

/// Looks a name up in the alias tables, one by one.
fn find(job: &mut Job<'_>, name: &BStr) -> Result<Option<(BString, String, Owner)>, Failure> {
    let unavailable = || dsn("4.3.0", "alias database unavailable");
    let tables = job.tables().map_err(|_| unavailable())?;
    for table in tables.aliases.tables() {
        match table.lookup(name) {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(Some((value, table.registered_name(), table.owner()))),
            Err(_) => {
                log::warn!("{}: lookup of '{name}' failed", table.name());
                return Err(unavailable());
            }
        }
    }
    Ok(None)
}

fn expand_alias(job: &mut Job<'_>, mail: &Mail, found: &Found) -> Outcome {
    if job.is_probe() {
        let reason = format!("aliased to {}", found.value);
        return job.sent(mail, &dsn("2.0.0", reason));
    }
    let rights = match table_rights(found) {
        Ok(rights) => rights,
        Err(failure) => return job.fail(mail, &failure),
    };
    let mut inner = mail.clone();
    inner.unmatched = mail
        .unmatched
        .clone()
        .filter(|_| found.without_extension && job.local.settings.propagate.allows(Source::Alias));
    inner.expanded_from = Some(found.name.clone());
    inner.source = Source::Alias;
    inner.level += LEVEL_STEP;
    inner.without_success_report();
    let has_owner = match set_owner(job, &mut inner, found.name.as_bstr()) {
        Ok(has_owner) => has_owner,
        Err(failure) => return job.fail(mail, &failure),
    };
    let (outcome, count) = expand::list(job, &inner, &rights, found.value.as_bstr());
    if count == 0 {
        log::warn!("no recipient in alias lookup result for {}", found.name);
        return job.fail(mail, &dsn("4.3.0", "alias database unavailable"));
    }
    if mail.wants_success_report() {
        if has_owner {
            // For the owner's list this is the end of the way, under the name of the list alone.
            let mut list = mail.clone();
            list.recipient.original_recipient.clear();
            job.trace_expansion(&list, "delivered");
        } else {
            job.trace_expansion(mail, "expanded");
        }
    }
    outcome
}

/// Whoever can write the table decides only about their own files and commands.
fn table_rights(found: &Found) -> Result<Rights, Failure> {
    let uid = match found.owner {
        Owner::Trusted => return Ok(Rights::system()),
        Owner::User(uid) => uid,
        Owner::Unknown => {
            log::warn!("no owner UID for alias database {}", found.table);
            return Err(configuration_error("4.3.0"));
        }
    };
    let failure = || dsn("4.3.0", "cannot find alias database owner");
    match user::user_by_uid(uid) {
        Ok(Some(user)) => Ok(Rights::of(&user)),
        Ok(None) => {
            log::warn!("cannot find alias database owner for {}", found.table);
            Err(failure())
        }
        Err(error) => {
            log::warn!(
                "error looking up passwd info for {uid}: {}",
                error_text(&error)
            );
            Err(failure())
        }
    }
}

/// Makes `owner-NAME`, when that alias exists, the sender of the list's mail. Returns whether it does.
fn set_owner(job: &mut Job<'_>, inner: &mut Mail, name: &BStr) -> Result<bool, Failure> {
    match owner_address(job, name)? {
        Some(owner) => {
            inner.sender = owner.clone();
            inner.owner = Some(owner);
            // The owner has no use for what the first sender called the recipient.
            inner.recipient.original_recipient.clear();
            inner.recipient.dsn_orig_rcpt.clear();
            Ok(true)
        }
        None => {
            if job.local.settings.reset_owner_alias {
                inner.owner = None;
            }
            Ok(false)
        }
    }
}

/// The address of the owner of alias `name`, when it has one.
fn owner_address(job: &mut Job<'_>, name: &BStr) -> Result<Option<BString>, Failure> {
    if !job.local.settings.owner_request_special {
        return Ok(None);
    }
    let owner = BString::from([b"owner-".as_slice(), name].concat());
    let Some((value, _, _)) = find(job, owner.as_bstr())? else {
        return Ok(None);
    };
    let text = if job.local.settings.expand_owner_alias {
        value
    } else {
        owner
    };
    qualify(job, text.as_bstr()).map(Some)
}

/// The owner of the alias that the address of `mail` is, for notices.
pub(crate) fn owner_of(job: &mut Job<'_>, mail: &Mail) -> Result<Option<BString>, Failure> {
    for (name, _) in names(mail) {
        if let Some(owner) = owner_address(job, name.as_bstr())? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Completes an address in internal form as one that was written here.
pub(crate) fn qualify(job: &mut Job<'_>, text: &BStr) -> Result<BString, Failure> {
    let external = address::quote(text);
    match job
        .local
        .addresses
        .rewrite(Context::Local, external.as_bstr())
    {
        Ok(rewritten) => Ok(address::unquote(rewritten.as_bstr())),
        Err(error) => {
            log::warn!("{error}");
            Err(dsn("4.3.0", "address resolver failure"))
        }
    }
}
