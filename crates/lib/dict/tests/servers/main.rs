//! Tables on real servers, started for the test alone: memcached, Redis or Valkey, OpenLDAP. A test whose
//! server is not installed says so (`cargo xtask deps` installs them).

mod ldap;
mod memcache;
mod redis;
mod server;
