//! The parameters of this program, read once: `smtp_…` or `lmtp_…` as the role has it.

use std::net::IpAddr;
use std::time::Duration;

use postern_config::{Config, params};
use postern_dict::{Flags, Maps};
use postern_dns::Families;

use crate::features::Keywords;
use crate::nexthop::parse_known_ports;
use crate::role::Role;
use crate::security::Level;
