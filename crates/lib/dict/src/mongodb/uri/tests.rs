//! Connection strings.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Uri {
    let mut warnings = Vec::new();
    let uri = Uri::parse(text, &mut warnings).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
    uri
}

fn hosts(text: &str) -> String {
    match parse(text).seeds {
        Seeds::Hosts(hosts) => {
            let shown: Vec<_> = hosts.iter().map(Host::to_string).collect();
            shown.join(" ")
        }
        Seeds::Srv { name, service } => format!("{service} of {name}"),
    }
}

#[test]
fn servers_are_names_addresses_and_sockets() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("mongodb://db", "db:27017"), ("mongodb://DB.Test:1/", "db.test:1"), ("mongodb://a,b:5,c/x", "a:27017 b:5 c:27017"),
        ("mongodb://[::1]", "[::1]:27017"), ("mongodb://[::1]:5,127.0.0.1:65535", "[::1]:5 127.0.0.1:65535"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", "/tmp/mongodb-27017.sock"),
        ("mongodb://u:p@%2Ft.sock,a/d", "/t.sock a:27017"), ("mongodb://a?tls=true", "a:27017"),
        ("mongodb+srv://Cluster0.abc.mongodb.net", "mongodb of cluster0.abc.mongodb.net"),
        ("mongodb+srv://u:p@a.b.c/d?srvServiceName=mail", "mail of a.b.c"),
    ];
    for (text, want) in cases {
        assert_eq!(hosts(text), *want, "{text}");
    }
}

#[test]
fn bad_strings_are_refused_without_showing_a_password() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("http://a", "it begins with neither mongodb:// nor mongodb+srv://"),
        ("mongodb://", "bad server name: "), ("mongodb://a,,b", "bad server name: "), ("mongodb://a:0", "bad server name: a:0"),
        ("mongodb://a:65536", "bad server name: a:65536"), ("mongodb://a:+1", "bad server name: a:+1"),
        ("mongodb://[::1", "bad server name: [::1"), ("mongodb://[::1]x", "bad server name: [::1]x"),
        ("mongodb://u:se@cret@a", "user and password need %40 for @ and %3A for :"),
        ("mongodb://u:se:cret@a", "user and password need %40 for @ and %3A for :"),
        ("mongodb://u:se/cret@a", "user and password need percent-encoding, and so does @ elsewhere"),
        ("mongodb://u:se?cret@a", "user and password need percent-encoding, and so does @ elsewhere"),
        ("mongodb://u:se%cret@a", "bad percent-encoding"), ("mongodb://u:%00@a", "bad percent-encoding"),
        ("mongodb://u:%ff@a", "bad percent-encoding"), ("mongodb://u@a", "the login needs a user and a password"),
        ("mongodb://:p@a", "the login needs a user and a password"),
        ("mongodb://a/x%24y", "bad name of the database"),
        ("mongodb://a/?authMechanism=SCRAM-SHA-1", "SCRAM-SHA-1 needs a user and a password"),
        ("mongodb://u:p@a/?authMechanism=GSSAPI", "authentication mechanism GSSAPI is not supported"),
        ("mongodb://a/?tls=maybe", "invalid value of option tls"),
        ("mongodb://a/?tls=true&ssl=false", "options tls and ssl contradict each other"),
        ("mongodb://a/?tlsInsecure=true&tlsAllowInvalidHostnames=true", "option tlsInsecure contradicts tlsAllowInvalid..."),
        ("mongodb://a/?readPreference=any", "invalid value of option readPreference"),
        ("mongodb://a,b/?directConnection=true", "option directConnection needs a single server"),
        ("mongodb+srv://a.b.c/?directConnection=true", "option directConnection needs a single server"),
        ("mongodb://a/?loadBalanced=true", "option loadBalanced is not supported"),
        ("mongodb://a/?srvServiceName=x", "option srvServiceName does not fit"),
        ("mongodb+srv://a.b.c:27017", "mongodb+srv:// needs one name without port"),
        ("mongodb+srv://a.b.c,d.b.c", "mongodb+srv:// needs one name without port"),
    ];
    for (text, want) in cases {
        let error = Uri::parse(text, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(error, *want, "{text}");
        assert!(!error.contains("cret"));
    }
}

#[test]
fn options_say_how_to_connect() {
    let uri = parse(
        "mongodb://us%40er:p%3Aw@a,b/users?authSource=other&authMechanism=SCRAM-SHA-256&REPLICASET=rs0&tls=true\
         &tlsCAFile=%2Fetc%2Fca.pem&connectTimeoutMS=500&socketTimeoutMS=0&serverSelectionTimeoutMS=2000\
         &readPreference=secondaryPreferred&appName=postfix%20a&heartbeatFrequencyMS=1000&retryWrites=true&w=majority",
    );
    let login = uri.login.clone().unwrap();
    assert_eq!(
        (login.user.as_str(), login.password.as_str()),
        ("us@er", "p:w")
    );
    assert_eq!(login.mechanism, Some(Mechanism::Sha256));
    assert_eq!(uri.auth_database(), "other");
    assert_eq!(uri.replica_set.as_deref(), Some("rs0"));
    assert!(uri.is_encrypted() && !uri.is_direct());
    assert_eq!(
        (uri.tls_files.ca_file.as_str(), uri.tls_check),
        ("/etc/ca.pem", Check::ChainAndName)
    );
    assert_eq!(uri.preference, Preference::SecondaryPreferred);
    assert_eq!(uri.app_name.as_deref(), Some("postfix a"));
    let limits = [
        uri.connect_limit,
        uri.answer_limit,
        uri.selection_limit,
        uri.retry,
    ];
    assert_eq!(
        limits.map(|limit| limit.as_millis()),
        [500, 300_000, 2000, 1000]
    );
    assert_eq!(parse("mongodb://u:p@a/users").auth_database(), "users");
    assert_eq!(parse("mongodb://u:p@a").auth_database(), "admin");
}

#[test]
fn encryption_and_direct_connections_follow_from_the_string() {
    #[rustfmt::skip]
    let cases: &[(&str, bool, Check, bool)] = &[
        ("mongodb://a", false, Check::ChainAndName, true), ("mongodb://a/?ssl=true", true, Check::ChainAndName, true),
        ("mongodb://a/?tlsInsecure=true", true, Check::Nothing, true),
        ("mongodb://a/?tls=1&tlsAllowInvalidHostnames=true", true, Check::Chain, true),
        ("mongodb://a/?tls=yes&tlsAllowInvalidCertificates=true", true, Check::Nothing, true),
        ("mongodb://a/?tlsCAFile=/x", true, Check::ChainAndName, true),
        ("mongodb://a/?tls=false&tlsCAFile=/x", false, Check::ChainAndName, true),
        ("mongodb+srv://a.b.c", true, Check::ChainAndName, false), ("mongodb+srv://a.b.c/?tls=false", false, Check::ChainAndName, false),
        ("mongodb://a,b", false, Check::ChainAndName, false), ("mongodb://a/?replicaSet=r", false, Check::ChainAndName, false),
        ("mongodb://a/?replicaSet=r&directConnection=true", false, Check::ChainAndName, true),
        ("mongodb://a/?directConnection=false", false, Check::ChainAndName, false),
    ];
    for (text, encrypted, check, direct) in cases {
        let uri = parse(text);
        let found = (uri.is_encrypted(), uri.tls_check, uri.is_direct());
        assert_eq!(found, (*encrypted, *check, *direct), "{text}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let mut warnings = Vec::new();
    let text = "mongodb://a/?readPreferenceTags=dc:ny&connectTimeoutMS=soon&foo=bar&authSource=&x";
    let uri = Uri::parse(text, &mut warnings).unwrap();
    assert_eq!(uri.connect_limit, Duration::from_secs(10));
    let want = [
        "option readPreferenceTags is not supported",
        "invalid value of option connectTimeoutMS",
        "option foo is not supported",
        "option authSource has no value",
        "option x has no value",
    ];
    assert_eq!(warnings, want);
}

#[test]
fn a_txt_record_adds_what_the_string_does_not_say() {
    let mut uri = parse("mongodb+srv://u:p@a.b.c/?authSource=mine");
    uri.add_record("authSource=theirs&replicaSet=rs0").unwrap();
    assert_eq!(
        (uri.auth_database(), uri.replica_set.as_deref()),
        ("mine", Some("rs0"))
    );
    let error = uri.add_record("tls=false").unwrap_err().to_string();
    assert_eq!(error, "its TXT record has option tls");
}

proptest! {
    #[test]
    fn any_string_is_understood_or_refused(text in "\\PC{0,40}", rest in "[a-z@:/?&=%0-9,\\[\\].]{0,40}") {
        for text in [text, format!("mongodb://{rest}"), format!("mongodb+srv://{rest}")] {
            if let Ok(uri) = Uri::parse(&text, &mut Vec::new()) {
                let _ = (uri.is_direct(), uri.is_encrypted(), uri.auth_database().len());
            }
        }
    }

    #[test]
    fn any_login_survives_percent_encoding(user in "[^\0]{1,9}", password in "[^\0]{1,9}") {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let uri = parse(&format!("mongodb://{}:{}@a", encode(&user), encode(&password)));
        let login = uri.login.unwrap();
        prop_assert_eq!((login.user, login.password), (user, password));
    }
}
