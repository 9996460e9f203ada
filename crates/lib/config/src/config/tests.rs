//! What programs see of main.cf.

use super::*;
use crate::params::*;
use std::time::SystemTime;

fn config(text: &str) -> Config {
    Config::from_text(text).unwrap()
}

#[test]
fn values_have_their_types_and_defaults() {
    let config =
        config("smtpd_timeout = 5m\nsoft_bounce = YES\nmydestination = $myhostname, $mydomain\n");
    assert_eq!(config.get(SMTPD_TIMEOUT), Duration::from_secs(300));
    assert!(config.get(SOFT_BOUNCE));
    assert_eq!(config.get(MYDESTINATION), "mail.example.test, example.test");
    assert_eq!(config.get(SMTPD_HARD_ERROR_LIMIT), 20);
    assert_eq!(config.get(MAIL_VERSION), "3.11.6");
}

#[test]
fn overrides_win_and_change_only_this_copy() {
    let first = config("max_use = 7\n");
    let mut second = first.clone();
    second.set_override("max_use", "9");
    second.set_override("stress", "yes");
    assert_eq!((first.get(MAX_USE), second.get(MAX_USE)), (7, 9));
    assert_eq!(
        (
            first.get(SMTPD_HARD_ERROR_LIMIT),
            second.get(SMTPD_HARD_ERROR_LIMIT)
        ),
        (20, 1)
    );
}

#[test]
fn bad_lines_are_refused_with_their_number() {
    let error = Config::from_text("a = 1\n\n= x\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "main.cf, line 3: missing attribute name: \"= x\""
    );
    let error = Config::from_text("my origin = x\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "main.cf, line 1: missing '=' after attribute name: \"my origin = x\""
    );
}

#[test]
fn the_last_of_two_entries_wins_with_a_warning() {
    let config = config("a = 1\nb = 1\na = 2\nb = 1\n  lost\n");
    assert_eq!(config.raw("a").as_deref(), Some("2"));
    assert_eq!(
        config.warnings(),
        [
            "main.cf, line 3: overriding earlier entry: a=1",
            "main.cf, line 4: overriding earlier entry: b=1"
        ]
    );
}

#[test]
fn defaults_follow_the_level() {
    let old = config("compatibility_level = 3.6\n");
    assert_eq!(old.get(SMTPD_FORBID_BARE_NEWLINE), "no");
    assert_eq!(old.get(RELAY_DOMAINS), "");
    assert_eq!(old.get(SMTP_TLS_SECURITY_LEVEL), "");
    let new = config("compatibility_level = 3.11\n");
    assert_eq!(new.get(SMTPD_FORBID_BARE_NEWLINE), "normalize");
    assert_eq!(new.get(SMTP_TLS_SECURITY_LEVEL), "may");
    assert_eq!(
        config("").get(RELAY_DOMAINS),
        "mail.example.test, localhost.example.test, localhost"
    );
    assert_eq!(
        config("smtpd_forbid_bare_newline = yes").get(SMTPD_FORBID_BARE_NEWLINE),
        "yes"
    );
}

#[test]
fn a_level_may_refer_to_what_is_set_or_fixed_but_not_to_what_depends_on_it() {
    let level = |text: &str| config(text).try_level().map(|level| level.to_string());
    assert_eq!(level("compatibility_level = $a\na = 3.6"), Ok("3.6".into()));
    assert_eq!(
        level("compatibility_level = $mail_version").as_deref(),
        Ok("3.11.6")
    );
    assert!(level("compatibility_level = $service_name").is_err());
    assert_eq!(
        level("compatibility_level = 3$mynetworks").as_deref(),
        Ok("3")
    );
    assert!(level("compatibility_level = $compatibility_level").is_err());
}

#[test]
fn another_config_directory_in_the_file_is_an_override() {
    assert_eq!(
        config("config_directory = /etc/postfix").warnings().len(),
        0
    );
    assert_eq!(
        config("config_directory = /x").warnings(),
        ["main.cf, line 1: overriding earlier entry: config_directory=/etc/postfix"]
    );
}

#[test]
fn a_cache_type_that_is_set_counts_at_any_level() {
    assert_eq!(
        config("").raw("address_verify_map").as_deref(),
        Some("btree:$data_directory/verify_cache")
    );
    assert_eq!(
        config("default_cache_db_type = lmdb").get(ADDRESS_VERIFY_MAP),
        "lmdb:/var/lib/postfix/verify_cache"
    );
}

#[test]
fn raw_parameters_keep_their_names() {
    assert!(config("").get(DEFAULT_RBL_REPLY).contains("$rbl_code"));
}

#[test]
fn bad_values_name_the_parameter() {
    let rows = [
        (
            "max_use = abc",
            "bad numerical configuration: max_use = abc",
        ),
        ("max_use = 0", "invalid max_use parameter value 0 < 1"),
        (
            "soft_bounce = true",
            "bad boolean configuration: soft_bounce = true",
        ),
        ("mail_name =", "bad string length 0 < 1: mail_name = "),
        (
            "max_idle = 10x",
            "parameter max_idle: bad time value or unit: 10x",
        ),
        ("max_idle = 0", "invalid max_idle: 0 (min 1)"),
        ("in_flow_delay = 20", "invalid in_flow_delay: 20 (max 10)"),
        (
            "mail_name = ${",
            "dictionary mail_dict: macro processing error",
        ),
    ];
    for (text, want) in rows {
        let config = config(text);
        let name = text.split(' ').next().unwrap_or_default();
        let error = config.check_value(find(name).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn service_limits_fall_back_to_the_common_one() {
    let config = config(
        "slow_destination_concurrency_limit = 3\ndefault_destination_concurrency_limit = 8\n",
    );
    let limit = |service| {
        config.service_int(
            service,
            "_destination_concurrency_limit",
            DEFAULT_DESTINATION_CONCURRENCY_LIMIT,
        )
    };
    assert_eq!((limit("slow"), limit("smtp"), limit("local")), (3, 8, 2));
}

#[test]
fn extra_names_are_inserted_as_they_are() {
    let config = config("a = <$b>\n");
    let text = config.expand("$a $recipient", &|name| {
        (name == "recipient").then(|| "$a@x".to_string())
    });
    assert_eq!(text.as_deref(), Ok("<> $a@x"));
}

#[test]
fn a_fresh_file_is_read_again_until_it_is_quiet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.cf");
    fs::write(&path, "max_use = 5\n").unwrap();
    let old = SystemTime::now() - Duration::from_secs(100);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let config = Config::load_from(directory.path()).unwrap();
    assert_eq!(config.get(MAX_USE), 5);
    assert_eq!(
        config.lookup("config_directory"),
        Some(directory.path().to_string_lossy().into_owned())
    );
    let error = Config::load_from(&directory.path().join("no")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "open {}/no/main.cf: No such file or directory",
            directory.path().display()
        )
    );
}

#[test]
fn ports_without_a_number_are_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.cf");
    fs::write(&path, "known_tcp_ports = smtp=25, a b, $x\nx = y\n").unwrap();
    let old = SystemTime::now() - Duration::from_secs(100);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(old).unwrap();
    assert_eq!(
        Config::load_from(directory.path()).unwrap().warnings(),
        [
            "known_tcp_ports: in \"a b\" is not in \"name = value\" form",
            "known_tcp_ports: in \"y\" is not in \"name = value\" form",
        ]
    );
}

#[test]
fn configurations_travel_between_threads() {
    fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<Config>();
}

#[test]
fn a_program_sees_the_defaults_that_it_has_read() {
    // Program, parameter, value, what the reference makes of it.
    let rows = [
        (
            "smtpd",
            "smtpd_banner",
            "$smtpd_timeout|$smtpd_hard_error_limit|$default_rbl_reply",
            "|20|",
        ),
        (
            "smtpd",
            "smtpd_banner",
            "$relay_transport|$max_idle|$max_use|$process_id",
            "|100s|100|",
        ),
        (
            "smtpd",
            "smtpd_banner",
            "${smtpd_timeout?x}${smtpd_recipient_limit?y}${notify_classes:z}",
            "yz",
        ),
        ("smtpd", "smtpd_banner", "$b", ",1000"),
        (
            "smtpd",
            "smtpd_banner",
            "$mydestination",
            "mail.example.test, localhost.example.test, localhost",
        ),
        (
            "smtpd",
            "smtpd_recipient_restrictions",
            "$smtpd_banner|$smtpd_data_restrictions",
            "mail.example.test ESMTP Postfix|",
        ),
        (
            "cleanup",
            "setgid_group",
            "$mail_version|$mydestination|$max_use|$syslog_name",
            "3.11.6|||postfix",
        ),
        (
            "verify",
            "mail_name",
            "$syslog_name|$mydomain",
            "|example.test",
        ),
        (
            "trivial-rewrite",
            "address_verify_relay_transport",
            "$relay_transport|$virtual_transport",
            "relay|virtual",
        ),
        (
            "smtpd",
            "address_verify_relay_transport",
            "$relay_transport|$smtpd_banner",
            "relay|",
        ),
        ("local", "luser_relay", "$daemon_timeout", "$daemon_timeout"),
        ("", "mail_name", "$smtpd_timeout", "${stress?{10}:{300}}s"),
    ];
    for (program, name, value, want) in rows {
        let text = format!(
            "compatibility_level = 3.6\na = $smtpd_timeout,$smtpd_recipient_limit\nb = ${{a}}\n{name} = {value}\n"
        );
        let mut config = config(&text);
        if !program.is_empty() {
            config.set_reader(program);
        }
        let info = find(name).unwrap();
        let got = config.text_of(info).unwrap();
        // Without a program nested expressions are expanded, too.
        let want = want.replace("${stress?{10}:{300}}s", "300s");
        assert_eq!(got, want, "{program} {name} = {value}");
    }
}

#[test]
fn after_the_start_everything_that_a_program_reads_is_visible() {
    let mut config = config("smtpd_timeout = 5s\n");
    config.set_reader("smtpd");
    let expanded = |text| config.expand(text, &|_| None).unwrap();
    assert_eq!(
        expanded("$smtpd_timeout $smtpd_error_sleep_time $smtpd_banner"),
        "5s 1s mail.example.test ESMTP Postfix"
    );
    assert_eq!(
        expanded("$qmgr_message_active_limit$virtual_mailbox_base"),
        ""
    );
}

#[test]
fn bad_values_are_refused_in_the_order_in_which_a_program_reads_them() {
    let config = config(
        "smtpd_banner = $\nmax_use = x\nsmtpd_timeout = x\nsoft_bounce = x\nmail_owner=root\nsmtpd_soft_error_limit = y\n",
    );
    let order = [
        "max_use",
        "soft_bounce",
        "smtpd_soft_error_limit",
        "smtpd_banner",
    ];
    let rank = |name| Order::of("smtpd").rank(name);
    assert!(order.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
    let error = |program: &str| {
        let in_order = Order::of(program).names();
        let mut found = in_order.filter(|name| config.is_set(name) && *name != "mail_owner");
        found.find_map(|name| config.check_named(name, program).err())
    };
    assert_eq!(
        error("smtpd").unwrap().to_string(),
        "bad numerical configuration: max_use = x"
    );
}
