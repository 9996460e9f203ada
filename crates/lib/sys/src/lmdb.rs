//! LMDB environments as Postfix uses them: one file, the unnamed database, no locks of the
//! library's own. The caller holds a file lock around every call.

use lmdb_master_sys as ffi;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::ptr::{self, NonNull};

/// An error of the library, with its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    code: i32,
    text: String,
}

impl Error {
    fn new(code: i32) -> Self {
        // SAFETY: mdb_strerror returns a static, NUL-terminated text for every code.
        let text = unsafe { CStr::from_ptr(ffi::mdb_strerror(code)) };
        Self {
            code,
            text: text.to_string_lossy().into_owned(),
        }
    }

    /// The map is full: enlarge it and start again.
    pub fn is_map_full(&self) -> bool {
        self.code == ffi::MDB_MAP_FULL
    }

    /// Another process enlarged the map.
    pub fn is_map_resized(&self) -> bool {
        self.code == ffi::MDB_MAP_RESIZED
    }

    /// The key is empty or too long.
    pub fn is_bad_size(&self) -> bool {
        self.code == ffi::MDB_BAD_VALSIZE
    }
}

fn check(code: i32) -> Result<(), Error> {
    if code == 0 {
        Ok(())
    } else {
        Err(Error::new(code))
    }
}

/// An open environment.
pub struct Env {
    env: NonNull<ffi::MDB_env>,
    fd: i32,
    dbi: u32,
    /// The write transaction of a bulk job.
    bulk: Option<NonNull<ffi::MDB_txn>>,
    /// A read transaction that is reset, for the next reader.
    idle: Option<NonNull<ffi::MDB_txn>>,
}

// SAFETY: the environment is opened without locks and reader table, so nothing in it is bound to
// a thread; all calls need `&mut self`.
unsafe impl Send for Env {}

impl Env {
    /// Opens the file `path`; without `read_only` it is created with `mode` when missing.
    ///
    /// # Errors
    ///
    /// The library's error: not an LMDB file, no such file, no permission, ….
    pub fn open(path: &Path, read_only: bool, mode: u32, map_size: usize) -> Result<Self, Error> {
        use std::os::unix::ffi::OsStrExt;
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::new(libc::EINVAL))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the out-parameter is valid.
        check(unsafe { ffi::mdb_env_create(&raw mut raw) })?;
        let env = NonNull::new(raw).ok_or_else(|| Error::new(libc::ENOMEM))?;
        let mut this = Self {
            env,
            fd: -1,
            dbi: 0,
            bulk: None,
            idle: None,
        };
        let access = if read_only { ffi::MDB_RDONLY } else { 0 };
        // SAFETY: `env` was just made, is not yet open, and `name` ends with NUL. On failure the
        // drop of `this` closes the handle, as the library asks.
        unsafe {
            check(ffi::mdb_env_set_mapsize(env.as_ptr(), map_size))?;
            let flags = ffi::MDB_NOSUBDIR | ffi::MDB_NOLOCK | access;
            check(ffi::mdb_env_open(env.as_ptr(), name.as_ptr(), flags, mode))?;
            check(ffi::mdb_env_get_fd(env.as_ptr(), &raw mut this.fd))?;
        }
        this.dbi = this.with_txn(true, |txn, _| {
            let mut dbi = 0;
            // SAFETY: the transaction is live; a null name is the unnamed database.
            check(unsafe { ffi::mdb_dbi_open(txn, ptr::null(), 0, &raw mut dbi) })?;
            Ok(dbi)
        })?;
        Ok(this)
    }

    /// The descriptor of the file, for locks and status.
    pub fn file(&self) -> BorrowedFd<'_> {
        // SAFETY: the environment keeps the descriptor open as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Sets the map size; 0 takes over what another process set.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn set_map_size(&mut self, size: usize) -> Result<(), Error> {
        self.abort_bulk();
        self.drop_idle();
        // SAFETY: no transaction of this process is active.
        check(unsafe { ffi::mdb_env_set_mapsize(self.env.as_ptr(), size) })
    }

    /// The map size and the number of bytes in use at its start.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn sizes(&self) -> Result<(usize, u64), Error> {
        // SAFETY: both structures are plain numbers and pointers, for which zero is valid.
        let (mut info, mut stat) = unsafe {
            (
                std::mem::zeroed::<ffi::MDB_envinfo>(),
                std::mem::zeroed::<ffi::MDB_stat>(),
            )
        };
        // SAFETY: the environment is open and the out-parameters are valid.
        unsafe {
            check(ffi::mdb_env_info(self.env.as_ptr(), &raw mut info))?;
            check(ffi::mdb_env_stat(self.env.as_ptr(), &raw mut stat))?;
        }
        let last = u64::try_from(info.me_last_pgno).unwrap_or(u64::MAX);
        Ok((
            info.me_mapsize,
            last.saturating_add(1)
                .saturating_mul(u64::from(stat.ms_psize)),
        ))
    }

    /// Whether the file is as long as its last page says; reading a shorter one would kill the
    /// process.
    pub fn is_whole(&self) -> bool {
        let length = nix::sys::stat::fstat(self.file().as_fd())
            .map(|status| u64::try_from(status.st_size).unwrap_or(0));
        matches!((self.sizes(), length), (Ok((_, used)), Ok(length)) if used <= length.max(2 * 4096))
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let (txn, idle) = match (self.bulk, self.idle.take()) {
            (Some(bulk), idle) => (bulk, idle),
            (None, Some(idle)) => {
                // SAFETY: the transaction was reset and is not in use; on failure it stays reset
                // and is given up.
                let code = unsafe { ffi::mdb_txn_renew(idle.as_ptr()) };
                if code != 0 {
                    // SAFETY: the handle is not used again.
                    unsafe { ffi::mdb_txn_abort(idle.as_ptr()) };
                    return Err(Error::new(code));
                }
                (idle, None)
            }
            (None, None) => (self.begin(true)?, None),
        };
        let (mut name, mut data) = (value(key), value(&[]));
        // SAFETY: the transaction is live and both values are valid for the call.
        let found =
            match unsafe { ffi::mdb_get(txn.as_ptr(), self.dbi, &raw mut name, &raw mut data) } {
                0 => Ok(Some(copy(&data))),
                ffi::MDB_NOTFOUND => Ok(None),
                code => Err(Error::new(code)),
            };
        if self.bulk.is_some() {
            self.idle = idle;
        } else {
            // SAFETY: the read transaction is live; the found data was copied.
            unsafe { ffi::mdb_txn_reset(txn.as_ptr()) };
            self.idle = Some(txn);
        }
        found
    }

    /// Stores an entry behind all others.
    ///
    /// # Errors
    ///
    /// The library's error, also when the key does not sort behind the last one.
    pub fn append(&mut self, key: &[u8], data: &[u8]) -> Result<(), Error> {
        self.with_txn(false, |txn, dbi| {
            let (mut name, mut content) = (value(key), value(data));
            let flags = ffi::MDB_APPEND;
            // SAFETY: the transaction is live; the library copies key and data.
            check(unsafe { ffi::mdb_put(txn, dbi, &raw mut name, &raw mut content, flags) })
        })
    }

    /// Stores an entry; `Ok(false)` when the key exists and `replace` is off.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn put(&mut self, key: &[u8], data: &[u8], replace: bool) -> Result<bool, Error> {
        self.with_txn(false, |txn, dbi| {
            let (mut name, mut content) = (value(key), value(data));
            let flags = if replace { 0 } else { ffi::MDB_NOOVERWRITE };
            // SAFETY: the transaction is live; the library copies key and data.
            match unsafe { ffi::mdb_put(txn, dbi, &raw mut name, &raw mut content, flags) } {
                0 => Ok(true),
                ffi::MDB_KEYEXIST => Ok(false),
                code => Err(Error::new(code)),
            }
        })
    }

    /// Removes a key; `Ok(false)` when it was not there.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn del(&mut self, key: &[u8]) -> Result<bool, Error> {
        self.with_txn(false, |txn, dbi| {
            let mut name = value(key);
            // SAFETY: the transaction is live and the key valid for the call.
            match unsafe { ffi::mdb_del(txn, dbi, &raw mut name, ptr::null_mut()) } {
                0 => Ok(true),
                ffi::MDB_NOTFOUND => Ok(false),
                code => Err(Error::new(code)),
            }
        })
    }

    /// The first entry behind `after`, or the first of all.
    ///
    /// # Errors
    ///
    /// The library's error.
    #[allow(clippy::type_complexity, reason = "a key and a value")]
    pub fn next(&mut self, after: Option<&[u8]>) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        self.with_txn(true, |txn, dbi| {
            let mut cursor = ptr::null_mut();
            // SAFETY: the transaction is live; the cursor is closed before it ends.
            check(unsafe { ffi::mdb_cursor_open(txn, dbi, &raw mut cursor) })?;
            let (mut name, mut data) = (value(after.unwrap_or_default()), value(&[]));
            let mut step = |op| {
                // SAFETY: the cursor is open and both values are valid for the call.
                unsafe { ffi::mdb_cursor_get(cursor, &raw mut name, &raw mut data, op) }
            };
            let mut code = step(if after.is_some() {
                ffi::MDB_SET_RANGE
            } else {
                ffi::MDB_FIRST
            });
            if code == 0 && after.is_some_and(|after| copy(&name) == after) {
                // SAFETY: as above; the closure's borrow of the values has ended.
                code = unsafe {
                    ffi::mdb_cursor_get(cursor, &raw mut name, &raw mut data, ffi::MDB_NEXT)
                };
            }
            let entry = match code {
                0 => Ok(Some((copy(&name), copy(&data)))),
                ffi::MDB_NOTFOUND => Ok(None),
                code => Err(Error::new(code)),
            };
            // SAFETY: opened above, closed once.
            unsafe { ffi::mdb_cursor_close(cursor) };
            entry
        })
    }

    /// Begins a job that replaces all contents; calls until [`Env::commit_bulk`] belong to it.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn begin_bulk(&mut self) -> Result<(), Error> {
        self.abort_bulk();
        let txn = self.begin(false)?;
        self.bulk = Some(txn);
        // SAFETY: the transaction is live; 0 empties the database and keeps it.
        let code = unsafe { ffi::mdb_drop(txn.as_ptr(), self.dbi, 0) };
        check(code).inspect_err(|_| self.abort_bulk())
    }

    /// Begins a job that changes the contents, unless there is one; calls until [`Env::commit_bulk`] belong
    /// to it. Whether it was begun now.
    ///
    /// # Errors
    ///
    /// The library's error.
    pub fn begin_changes(&mut self) -> Result<bool, Error> {
        if self.bulk.is_some() {
            return Ok(false);
        }
        self.bulk = Some(self.begin(false)?);
        Ok(true)
    }

    /// Makes the job's contents the table's.
    ///
    /// # Errors
    ///
    /// The library's error; the old contents stay.
    pub fn commit_bulk(&mut self) -> Result<(), Error> {
        let Some(txn) = self.bulk.take() else {
            return Ok(());
        };
        // SAFETY: the transaction is live and is not used again.
        check(unsafe { ffi::mdb_txn_commit(txn.as_ptr()) })
    }

    /// Drops the job.
    pub fn abort_bulk(&mut self) {
        if let Some(txn) = self.bulk.take() {
            // SAFETY: the transaction is live and is not used again.
            unsafe { ffi::mdb_txn_abort(txn.as_ptr()) }
        }
    }

    fn drop_idle(&mut self) {
        if let Some(txn) = self.idle.take() {
            // SAFETY: the transaction was reset and is not used again.
            unsafe { ffi::mdb_txn_abort(txn.as_ptr()) }
        }
    }

    fn begin(&self, read_only: bool) -> Result<NonNull<ffi::MDB_txn>, Error> {
        let mut raw = ptr::null_mut();
        let flags = if read_only { ffi::MDB_RDONLY } else { 0 };
        // SAFETY: the environment is open and has no other transaction of this kind.
        check(unsafe {
            ffi::mdb_txn_begin(self.env.as_ptr(), ptr::null_mut(), flags, &raw mut raw)
        })?;
        NonNull::new(raw).ok_or_else(|| Error::new(libc::ENOMEM))
    }

    /// Runs `work` in the bulk job, or else in a transaction of its own.
    fn with_txn<T>(
        &mut self,
        read_only: bool,
        work: impl FnOnce(*mut ffi::MDB_txn, u32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(txn) = self.bulk {
            return work(txn.as_ptr(), self.dbi);
        }
        let txn = self.begin(read_only)?;
        match work(txn.as_ptr(), self.dbi) {
            Ok(result) => {
                // SAFETY: the transaction is live and is not used again. Committing a read-only
                // one keeps a database handle opened in it.
                check(unsafe { ffi::mdb_txn_commit(txn.as_ptr()) })?;
                Ok(result)
            }
            Err(error) => {
                // SAFETY: as above.
                unsafe { ffi::mdb_txn_abort(txn.as_ptr()) };
                Err(error)
            }
        }
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        self.abort_bulk();
        self.drop_idle();
        // SAFETY: no transaction is left and the handle is not used again.
        unsafe { ffi::mdb_env_close(self.env.as_ptr()) }
    }
}

fn value(bytes: &[u8]) -> ffi::MDB_val {
    ffi::MDB_val {
        mv_size: bytes.len(),
        mv_data: bytes.as_ptr().cast_mut().cast(),
    }
}

fn copy(value: &ffi::MDB_val) -> Vec<u8> {
    if value.mv_data.is_null() || value.mv_size == 0 {
        return Vec::new();
    }
    // SAFETY: the library set pointer and size, and the data lives until the transaction ends.
    unsafe { std::slice::from_raw_parts(value.mv_data.cast::<u8>(), value.mv_size) }.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_stored_found_walked_and_removed() {
        let dir = std::env::temp_dir().join(format!("postern-lmdb-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("t.lmdb");
        let mut env = Env::open(&path, false, 0o644, 1 << 20).unwrap();
        env.begin_bulk().unwrap();
        assert_eq!(env.put(b"a\0", b"1\0", false), Ok(true));
        assert_eq!(env.put(b"b\0", b"2\0", false), Ok(true));
        env.commit_bulk().unwrap();
        assert_eq!(env.put(b"a\0", b"3\0", false), Ok(false));
        assert_eq!(env.get(b"a\0"), Ok(Some(b"1\0".to_vec())));
        assert_eq!(
            env.next(Some(b"a\0")),
            Ok(Some((b"b\0".to_vec(), b"2\0".to_vec())))
        );
        assert_eq!(env.get(b"b\0"), Ok(Some(b"2\0".to_vec())));
        assert_eq!(env.put(b"b\0", b"4\0", true), Ok(true));
        assert_eq!(env.get(b"b\0"), Ok(Some(b"4\0".to_vec())));
        assert_eq!(env.del(b"a\0"), Ok(true));
        assert_eq!(env.get(b"a\0"), Ok(None));
        assert!(env.put(&[b'k'; 600], b"v", true).unwrap_err().is_bad_size());
        assert!(env.is_whole());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
