//! Tables made of tables: `pipemap`, `unionmap` and `debug`.

use bstr::{BStr, BString};

use crate::simple::read_only;
use crate::source::unbrace;
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, split_list};

/// How members are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// The answer of one is the key of the next.
    Pipe,
    /// All answers, joined with commas.
    Union,
}

struct Composite {
    name: String,
    flags: Flags,
    join: Join,
    members: Vec<Box<dyn Table>>,
}

/// Opens one member by its `type:name`.
type OpenMember<'a> = &'a mut dyn FnMut(&str) -> Result<Box<dyn Table>, OpenError>;

/// Opens `pipemap:{…}` or `unionmap:{…}`; `open_member` opens one `type:name`.
pub(crate) fn open(
    join: Join,
    name: &str,
    mode: OpenMode,
    flags: Flags,
    open_member: OpenMember<'_>,
) -> Result<Box<dyn Table>, OpenError> {
    let kind = if join == Join::Pipe {
        "pipemap"
    } else {
        "unionmap"
    };
    read_only(kind, name, mode)?;
    let type_name = format!("{kind}:{name}");
    let bad = || {
        OpenError(format!(
            "bad syntax: \"{type_name}\"; need \"{kind}:{{type:name...}}\""
        ))
    };
    let mut members = Vec::new();
    for item in split_list(unbrace(name).map_err(|_| bad())?) {
        if !item.contains(':') {
            return Err(bad());
        }
        members.push(open_member(item)?);
    }
    let class = members.first().ok_or_else(bad)?.flags() & (Flags::FIXED | Flags::PATTERN);
    Ok(Box::new(Composite {
        name: type_name,
        flags: flags | class,
        join,
        members,
    }))
}

impl Composite {
    fn pipe(&mut self, key: &BStr) -> Lookup {
        let mut current = key.to_owned();
        for member in &mut self.members {
            match member.lookup(BStr::new(&current))? {
                Some(value) => current = value,
                None => return Ok(None),
            }
        }
        Ok(Some(current))
    }

    fn union(&mut self, key: &BStr) -> Lookup {
        let mut joined: Option<BString> = None;
        for member in &mut self.members {
            let Some(value) = member.lookup(key)? else {
                continue;
            };
            match &mut joined {
                Some(all) => {
                    all.push(b',');
                    all.extend_from_slice(&value);
                }
                None => joined = Some(value),
            }
        }
        Ok(joined)
    }
}

impl Table for Composite {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let answer = match self.join {
            Join::Pipe => self.pipe(key),
            Join::Union => self.union(key),
        };
        answer.map_err(|error| LookupError {
            table: self.name.clone(),
            ..error
        })
    }
    fn changed(&self) -> bool {
        self.members.iter().any(|member| member.changed())
    }
    fn owner(&self) -> Owner {
        self.members.iter().fold(Owner::Trusted, |owner, member| {
            owner.combine(member.owner())
        })
    }
}

/// `debug`: logs every access to another table.
pub(crate) struct Debug {
    name: String,
    inner: Box<dyn Table>,
    member: String,
}

impl Debug {
    /// Wraps the open table `inner`, known as `member`.
    pub(crate) fn new(member: &str, inner: Box<dyn Table>) -> Self {
        Self {
            name: format!("debug:{member}"),
            inner,
            member: member.to_owned(),
        }
    }
}

impl Table for Debug {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.inner.flags()
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let answer = self.inner.lookup(key);
        let member = &self.member;
        match &answer {
            Ok(Some(value)) => log::info!("{member} lookup: \"{key}\" = \"{value}\""),
            Ok(None) => log::info!("{member} lookup: \"{key}\" = \"not_found\""),
            Err(_) => log::info!("{member} lookup: \"{key}\" = \"error\""),
        }
        answer
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let answer = self.inner.update(key, value);
        let result = if answer.is_ok() { "success" } else { "error" };
        log::info!("{} update: \"{key}\" = \"{value}\": {result}", self.member);
        answer
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let answer = self.inner.delete(key);
        let result = match &answer {
            Ok(true) => "success",
            Ok(false) => "failed",
            Err(_) => "error",
        };
        log::info!("{} delete: \"{key}\": {result}", self.member);
        answer
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        let answer = self.inner.sequence(restart);
        let member = &self.member;
        match &answer {
            Ok(Some((key, value))) => log::info!("{member} sequence: \"{key}\" = \"{value}\""),
            Ok(None) => log::info!("{member} sequence: found EOF"),
            Err(_) => log::info!("{member} sequence: error"),
        }
        answer
    }
    fn changed(&self) -> bool {
        self.inner.changed()
    }
    fn owner(&self) -> Owner {
        self.inner.owner()
    }
}
