//! The user and group databases, and switching between identities.

use nix::unistd::{self, Gid, Uid};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// The comment field: full name and, after commas, more.
    pub gecos: Vec<u8>,
}

/// One entry of the group database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
}

impl From<unistd::User> for User {
    fn from(user: unistd::User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            shell: user.shell,
            gecos: user.gecos.into_bytes(),
        }
    }
}

/// Looks a user up by name; `None` when there is none. A database error is an error.
pub fn user_by_name(name: &str) -> io::Result<Option<User>> {
    match unistd::User::from_name(name) {
        Ok(user) => Ok(user.map(User::from)),
        Err(error) => no_entry(error),
    }
}

/// Looks a user up by number.
pub fn user_by_uid(uid: u32) -> io::Result<Option<User>> {
    match unistd::User::from_uid(Uid::from_raw(uid)) {
        Ok(user) => Ok(user.map(User::from)),
        Err(error) => no_entry(error),
    }
}

/// Looks a group up by name.
pub fn group_by_name(name: &str) -> io::Result<Option<Group>> {
    match unistd::Group::from_name(name) {
        Ok(group) => Ok(group.map(|g| Group {
            name: g.name,
            gid: g.gid.as_raw(),
        })),
        Err(error) => no_entry(error),
    }
}

/// Looks a group up by number.
pub fn group_by_gid(gid: u32) -> io::Result<Option<Group>> {
    match unistd::Group::from_gid(Gid::from_raw(gid)) {
        Ok(group) => Ok(group.map(|g| Group {
            name: g.name,
            gid: g.gid.as_raw(),
        })),
        Err(error) => no_entry(error),
    }
}

/// getpwnam(3) may report a missing entry by one of these numbers.
fn no_entry<T>(error: nix::Error) -> io::Result<Option<T>> {
    match error {
        nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::EPERM => Ok(None),
        other => Err(other.into()),
    }
}

/// Real user id of this process.
pub fn uid() -> u32 {
    unistd::getuid().as_raw()
}

/// Effective user id of this process.
pub fn euid() -> u32 {
    unistd::geteuid().as_raw()
}

/// Real group id of this process.
pub fn gid() -> u32 {
    unistd::getgid().as_raw()
}

/// Effective group id of this process.
pub fn egid() -> u32 {
    unistd::getegid().as_raw()
}

/// Whether the process runs with powers its caller does not have (set-uid or set-gid program).
pub fn is_set_id() -> bool {
    uid() != euid() || gid() != egid()
}

/// Gives up all privileges for good: group, supplementary groups of `user`, root directory, user,
/// in this order. A process that is not root keeps its identity, and may then only become itself.
/// The group database tells the supplementary groups, unless they are known.
///
/// # Errors
///
/// Any failing step; the process must not go on then, it may be half way.
pub fn enter_jail(user: &User, groups: Option<&[u32]>, root: Option<&Path>) -> io::Result<()> {
    let privileged = euid() == 0;
    if privileged {
        unistd::setgid(Gid::from_raw(user.gid))?;
        let groups = groups.map_or_else(|| groups_of(user), |known| Ok(known.to_vec()))?;
        let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
        unistd::setgroups(&groups)?;
    }
    if let Some(root) = root {
        unistd::chroot(root)?;
        unistd::chdir("/")?;
    }
    if privileged {
        unistd::setuid(Uid::from_raw(user.uid))?;
    } else if euid() != user.uid {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

/// The supplementary groups of a user. Asks every source of the group database: expensive.
///
/// # Errors
///
/// Those of getgrouplist(3).
pub fn groups_of(user: &User) -> io::Result<Vec<u32>> {
    let name = CString::new(user.name.as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let groups = unistd::getgrouplist(&name, Gid::from_raw(user.gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Takes the identity of `uid`/`gid` as effective ids, keeping root as the saved identity.
/// Supplementary groups become the one group `gid`. A process whose real and effective users
/// are both ordinary may only "become" the user it is; then nothing happens.
pub fn set_effective(uid: u32, gid: u32) -> io::Result<()> {
    change_effective((euid(), egid()), (uid, gid))
}

/// As [`set_effective`], for a process whose effective ids are `old` now.
fn change_effective(old: (u32, u32), (uid, gid): (u32, u32)) -> io::Result<()> {
    if old == (uid, gid) {
        return Ok(());
    }
    if old.0 != 0 && unistd::seteuid(Uid::from_raw(0)).is_err() {
        return if old.0 == uid {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EPERM))
        };
    }
    unistd::setegid(Gid::from_raw(gid))?;
    unistd::setgroups(&[Gid::from_raw(gid)])?;
    unistd::seteuid(Uid::from_raw(uid))?;
    Ok(())
}

/// Runs `work` with the effective ids `uid`/`gid` and takes the old ones back afterwards.
///
/// # Panics
///
/// When the old identity cannot be restored: going on would mix up privileges.
pub fn as_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    let old = (euid(), egid());
    change_effective(old, (uid, gid))?;
    let result = work();
    if let Err(error) = set_effective(old.0, old.1) {
        panic!("cannot restore uid {} gid {}: {error}", old.0, old.1);
    }
    Ok(result)
}

/// Becomes `uid`/`gid` for good (all ids, no supplementary groups): for children of delivery agents.
pub fn set_ugid(uid: u32, gid: u32) -> io::Result<()> {
    if euid() != 0 {
        unistd::seteuid(Uid::from_raw(0))?;
    }
    unistd::setgid(Gid::from_raw(gid))?;
    unistd::setgroups(&[Gid::from_raw(gid)])?;
    unistd::setuid(Uid::from_raw(uid))?;
    Ok(())
}

/// Sets owner and group of a path.
pub fn chown(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    unistd::chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
    Ok(())
}

/// The host's name as uname(2) knows it.
pub fn host_name() -> io::Result<String> {
    let name = unistd::gethostname()?;
    Ok(String::from_utf8_lossy(name.as_bytes()).into_owned())
}

/// Makes `root` the root and working directory, keeping all privileges.
pub fn change_root(root: &Path) -> io::Result<()> {
    unistd::chroot(root)?;
    unistd::chdir("/")?;
    Ok(())
}

/// The TCP port of a service in the services database.
pub fn service_port(name: &str) -> Option<u16> {
    port_of(name, c"tcp")
}

/// The UDP port of a service in the services database.
pub fn udp_service_port(name: &str) -> Option<u16> {
    port_of(name, c"udp")
}

fn port_of(name: &str, protocol: &std::ffi::CStr) -> Option<u16> {
    let name = CString::new(name).ok()?;
    // SAFETY: both strings are NUL-terminated and live; the result points to static storage that is
    // read before any other call can change it (programs ask with one thread only).
    let port = unsafe {
        let entry = libc::getservbyname(name.as_ptr(), protocol.as_ptr());
        if entry.is_null() {
            return None;
        }
        (*entry).s_port
    };
    // The number is in network order in the low 16 bits.
    u16::try_from(port & 0xffff).ok().map(u16::from_be)
}
