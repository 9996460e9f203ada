//! Test support: private instances, fake services, scripted SMTP sessions. Only a dev-dependency.
#![forbid(unsafe_code)]
