//! `unix:passwd.byname` and `unix:group.byname`: the system's user and group databases.

use bstr::{BStr, BString, ByteSlice};
use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

use crate::simple::read_only;
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table};

#[derive(Clone, Copy)]
enum Database {
    Passwd,
    Group,
}

struct UnixTable {
    name: String,
    flags: Flags,
    database: Database,
    /// Whether the database has answered anything: a miss is believed only then.
    works: bool,
}

/// Opens `unix:name`.
pub(crate) fn open(name: &str, mode: OpenMode, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    read_only("unix", name, mode)?;
    let database = match name {
        "passwd.byname" => Database::Passwd,
        "group.byname" => Database::Group,
        _ => return Err(OpenError(format!("unknown table: unix:{name}"))),
    };
    Ok(Box::new(UnixTable {
        name: format!("unix:{name}"),
        flags: flags | Flags::FIXED,
        database,
        works: false,
    }))
}

/// "No such user" in the ways that name services report it.
fn miss<T>(answer: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        other => other,
    }
}

fn passwd(key: &str) -> nix::Result<Option<BString>> {
    let Some(user) = miss(User::from_name(key))? else {
        return Ok(None);
    };
    let mut line = BString::from(user.name.as_bytes());
    line.push(b':');
    line.extend_from_slice(user.passwd.as_bytes());
    line.extend_from_slice(format!(":{}:{}:", user.uid, user.gid).as_bytes());
    line.extend_from_slice(user.gecos.as_bytes());
    line.push(b':');
    line.extend_from_slice(<[u8]>::from_path(&user.dir).unwrap_or_default());
    line.push(b':');
    line.extend_from_slice(<[u8]>::from_path(&user.shell).unwrap_or_default());
    Ok(Some(line))
}

fn group(key: &str) -> nix::Result<Option<BString>> {
    let Some(group) = miss(Group::from_name(key))? else {
        return Ok(None);
    };
    let mut line = BString::from(group.name.as_bytes());
    line.push(b':');
    line.extend_from_slice(group.passwd.as_bytes());
    line.extend_from_slice(format!(":{}:{}", group.gid, group.mem.join(",")).as_bytes());
    Ok(Some(line))
}

impl UnixTable {
    /// Whether the database can be read at all.
    fn probe(&self) -> Result<(), LookupError> {
        let (found, word) = match self.database {
            Database::Passwd => (
                User::from_uid(Uid::from_raw(0)).map(|user| user.is_some()),
                "password",
            ),
            Database::Group => (
                Group::from_gid(Gid::from_raw(0)).map(|group| group.is_some()),
                "group",
            ),
        };
        let why = match found {
            Ok(true) => return Ok(()),
            Ok(false) => Errno::ENOENT.desc(),
            Err(errno) => errno.desc(),
        };
        log::warn!("cannot access UNIX {word} database: {why}");
        Err(LookupError::retry(self.name.clone(), why))
    }
}

impl Table for UnixTable {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let Ok(text) = key.to_str() else {
            return Ok(None);
        };
        if text.contains('\0') {
            return Ok(None);
        }
        let answer = match self.database {
            Database::Passwd => passwd(text),
            Database::Group => group(text),
        };
        let found = answer.map_err(|errno| LookupError::retry(self.name.clone(), errno.desc()))?;
        if found.is_none() && !self.works {
            self.probe()?;
        }
        self.works = true;
        Ok(found)
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
