//! What configuration files say, and what is said of wrong ones.

#![allow(clippy::string_slice, reason = "tests cut at what they have found")]

use std::collections::BTreeSet;

use super::*;

/// The example that is handed to operators.
const EXAMPLE: &str = include_str!("../../../config/qpc-server.toml");

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("qpc-server.toml");
    fs::write(&file, text).unwrap();
    let overrides = Overrides { file: Some(file), ..Overrides::default() };
    Config::load(&overrides, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The message without the directory.
fn complaint(text: &str, environment: &[(&str, &str)]) -> String {
    let message = load(text, environment).unwrap_err().to_string();
    message.find("qpc-server.toml").map_or(message.clone(), |at| message[at..].to_owned())
}

/// The example with every key switched on.
fn example_keys() -> BTreeSet<String> {
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    EXAMPLE
        .lines()
        .scan(String::new(), |section, line| {
            if let Some(name) = line.strip_prefix('[') {
                *section = name.trim_end_matches(']').to_owned();
            }
            let key = Some(line).filter(is_key).and_then(|line| line[1..].split(" = ").next());
            Some(key.map(|key| format!("{section}.{key}")))
        })
        .flatten()
        .collect()
}

#[test]
fn the_example_has_exactly_all_keys() {
    let known: BTreeSet<String> = keys().iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(example_keys(), known);
}

#[test]
fn the_example_shows_todays_defaults() {
    let optional: BTreeSet<&str> = keys().iter().filter(|(_, v)| v.is_null()).map(|(key, _)| key.as_str()).collect();
    let mut section = String::new();
    let switched_on: String = EXAMPLE
        .lines()
        .map(|line| {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            }
            let on = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).and_then(|rest| {
                let key = rest.split(" = ").next()?;
                (!optional.contains(format!("{section}.{key}").as_str())).then_some(rest)
            });
            format!("{}\n", on.unwrap_or(line))
        })
        .collect();
    assert_eq!(load(&switched_on, &[]).unwrap().config, Config::default());
    assert_eq!(load(EXAMPLE, &[]).unwrap().config, Config::default());
}

#[test]
fn what_is_shown_reads_back() {
    let shown = Config::default().show().unwrap();
    assert_eq!(load(&shown, &[]).unwrap().config, Config::default());
    let secret = load("[server]\nauth_token = \"hunter2hunter2\"\n", &[]).unwrap();
    assert!(!secret.config.show().unwrap().contains("hunter2"));
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[test]
fn wrong_files_are_told_where_and_what_was_meant() {
    for (text, expected) in [
        (
            "[server]\nlissten = \"x\"\n",
            "qpc-server.toml:2:1: unknown key `server.lissten`; did you mean `server.listen`?",
        ),
        ("[server]\nlevel = \"x\"\n", "qpc-server.toml:2:1: unknown key `server.level`; did you mean `log.level`?"),
        ("[sever]\nlisten = \"x\"\n", "qpc-server.toml:1:2: unknown key `sever`; did you mean `server`?"),
        (
            "zebra = 1\n",
            "qpc-server.toml:1:1: unknown key `zebra`: take it out; `qpc-server config default` shows all there are",
        ),
        ("[limits]\nmessage = 5\n", "qpc-server.toml:2:1: `limits.message` is a section: write [limits.message]"),
        (
            "[server.listen]\n",
            "qpc-server.toml:1:9: `server.listen` is a key, not a section: write listen = … in its section",
        ),
        (
            "[storage]\n  pool_size = \"four\"\n",
            "qpc-server.toml:2:15: `storage.pool_size`: invalid type: string \"four\", expected a whole number from 0 on; \
             write a whole number; the default is 0",
        ),
        (
            "[server]\ndrain = \"soon\"\n",
            "qpc-server.toml:2:9: `server.drain`: a span of time is a whole number and a unit, such as 250ms, 30s, 5m, 12h or 7d; \
             write text in quotes; the default is \"10s\"",
        ),
        (
            "[server]\nlisten = \"7000\"\n",
            "qpc-server.toml:2:10: `server.listen`: invalid socket address syntax; write text in quotes; the default is \
             \"127.0.0.1:7000\"",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "qpc-server.toml:2:10: `log.format`: unknown variant `xml`, expected one of `auto`, `text`, `json`; write text in \
             quotes; the default is \"auto\"",
        ),
        (
            "[server\n",
            "qpc-server.toml:1:8: unclosed table, expected `]`; a line is `key = value` with text in quotes, a section `[name]`",
        ),
    ] {
        assert_eq!(complaint(text, &[]), expected);
    }
}

#[test]
fn the_environment_stands_above_the_file_and_is_called_by_its_name() {
    let file = "[storage]\npool_size = 2\n[limits.message]\nburst = 8\n";
    let loaded = load(
        file,
        &[("QPC_STORAGE__POOL_SIZE", "9"), ("QPC_LIMITS__MESSAGE__RATE", "77"), ("QPC_HOME", "/x"), ("HOME", "/y")],
    );
    let config = loaded.unwrap().config;
    assert_eq!((config.storage.pool_size, config.limits.message), (9, Rate { rate: 77, burst: 8 }));
    assert_eq!(
        complaint(file, &[("QPC_STORAGE__POOL_SIZE", "many")]),
        "QPC_STORAGE__POOL_SIZE: invalid type: string \"many\", expected usize"
    );
    assert_eq!(
        complaint(file, &[("QPC_STORAGE__POLL_SIZE", "9")]),
        "QPC_STORAGE__POLL_SIZE: unknown key `storage.poll_size`; did you mean `storage.pool_size`?"
    );
}

#[test]
fn secrets_come_from_files_and_never_twice() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "a token in a file\n").unwrap();
    let variable = [("QPC_AUTH_TOKEN_FILE", file.to_str().unwrap())];
    let loaded = load("", &variable).unwrap();
    assert_eq!(loaded.config.server.auth_token.unwrap().expose(), "a token in a file");
    assert_eq!(
        complaint("[server]\nauth_token = \"x\"\n", &variable),
        "QPC_AUTH_TOKEN_FILE: server.auth_token_file: server.auth_token is set as well: take one of the two out"
    );
    assert_eq!(load("", &[("QPC_DB_KEY", "k")]).unwrap().db_key.unwrap().expose(), "k");
}

#[test]
fn a_credential_of_a_unit_that_does_not_run_is_no_fault() {
    let faults = |file: &str| {
        let loaded = load(&format!("[storage]\nkey_file = \"{file}\"\n"), &[]).unwrap();
        loaded.check_files().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(faults("/run/credentials/a-unit-of-no-system.service/db-key"), Vec::<String>::new());
    assert!(faults("/run/nowhere/db-key")[0].ends_with("; name a file that is there"));
    let token = "[server]\nauth_token_file = \"/run/credentials/a-unit-of-no-system.service/token\"\n";
    assert!(load(token, &[]).is_err(), "what is read at once has to be there");
}

#[test]
fn the_data_directory_holds_its_own_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE_NAME), "[server]\ndata_dir = \"elsewhere\"\ndomain = \"a.example\"\n")
        .unwrap();
    let overrides = Overrides { data_dir: Some(directory.path().to_owned()), ..Overrides::default() };
    let loaded = Config::load(&overrides, []).unwrap();
    assert_eq!(loaded.config.server.domain, "a.example");
    assert_eq!(loaded.config.server.data_dir, directory.path());
}

/// Faults as text, without the directory.
fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let faults = load(text, environment).unwrap().check().into_iter();
    faults
        .map(|fault| fault.to_string())
        .map(|fault| fault.find("qpc-server.toml").map_or(fault.clone(), |at| fault[at..].to_owned()))
        .collect()
}

#[test]
fn threads_follow_the_cores_unless_they_are_given() {
    let of = |cores| (Runtime { threads: 0 }.threads_on(cores), Storage::default().readers_on(cores));
    assert_eq!([1, 2, 4, 5, 64].map(of), [(1, 1), (1, 2), (3, 4), (4, 4), (4, 4)]);
    let given = Storage { pool_size: 7, ..Storage::default() };
    assert_eq!((Runtime { threads: 3 }.threads_on(64), given.readers_on(1)), (3, 7));
}

#[test]
fn bounds_are_judged_at_the_limit_and_one_past_it() {
    let number = |text: &str| faults(text, &[]).len();
    for good in ["[storage]\ncommit_gather = \"0s\"\n", "[storage]\ncommit_gather = \"100ms\"\n"] {
        assert_eq!(number(good), 0, "{good}");
    }
    assert_eq!(number("[storage]\ncommit_gather = \"101ms\"\n"), 1);
    for (size, faulty) in [(0, 0), (64, 0), (65, 1)] {
        assert_eq!(number(&format!("[storage]\npool_size = {size}\n")), faulty, "{size}");
    }
    for (segments, faulty) in [(0, 1), (1, 0), (10, 0), (11, 1)] {
        for key in ["send_segments", "bulk_segments"] {
            assert_eq!(number(&format!("[transport]\n{key} = {segments}\n")), faulty, "{key} {segments}");
        }
    }
    for (devices, faulty) in [(0, 1), (1, 0), (16, 0), (17, 1)] {
        assert_eq!(number(&format!("[limits]\ndevices_per_account = {devices}\n")), faulty, "{devices}");
    }
    for (delay, faulty) in [("0ms", 1), ("1ms", 0), ("1s", 0), ("1001ms", 1)] {
        assert_eq!(number(&format!("[transport]\nack_delay = \"{delay}\"\n")), faulty, "{delay}");
    }
    for (users, faulty) in [(0, 0), (1_000_000, 0), (1_000_001, 1)] {
        assert_eq!(number(&format!("[server]\nusers_planned = {users}\n")), faulty, "{users}");
    }
    for (every, faulty) in [("59s", 1), ("60s", 0), ("7d", 0)] {
        assert_eq!(number(&format!("[backup]\nincremental_every = \"{every}\"\n")), faulty, "{every}");
        assert_eq!(number(&format!("[backup]\nfull_every = \"{every}\"\n")), faulty, "{every}");
    }
    for (keep, faulty) in [("5h", 1), ("6h", 0)] {
        assert_eq!(number(&format!("[backup]\nkeep_incremental = \"{keep}\"\n")), faulty, "{keep}");
    }
    for (keep, faulty) in [("23h", 1), ("1d", 0)] {
        assert_eq!(number(&format!("[backup]\nkeep_full = \"{keep}\"\n")), faulty, "{keep}");
    }
    for (packets, faulty) in [(0, 1), (1, 0), (8, 0), (9, 1)] {
        assert_eq!(number(&format!("[transport]\nack_packets = {packets}\n")), faulty, "{packets}");
    }
}

#[test]
fn defaults_may_start_and_nonsense_may_not() {
    assert!(faults("", &[]).is_empty());
    assert_eq!(
        faults("[server]\ndomain = \"a b\"\n[retention]\ndays = 10\ncommits_days = 5\n", &[]),
        [
            "qpc-server.toml:2:1: server.domain: not a host name, such as chat.example.org; the default is \"localhost\"",
            "qpc-server.toml:5:1: retention.commits_days: less than retention.days: set it to as many days, or to 0; the \
             default is 180"
        ]
    );
    assert_eq!(
        faults("[blobs]\nbackend = \"s3\"\ns3_endpoint = \"https://s3.example\"\nmax_size = 17179869185\n", &[]),
        [
            "qpc-server.toml:2:1: blobs.s3_bucket: is not set, and blobs.backend is \"s3\"",
            "qpc-server.toml:4:1: blobs.max_size: more than 16 GiB; the default is 110100480"
        ]
    );
    assert_eq!(faults("[limits.blob]\nrate = 0\n", &[]).len(), 1);
    assert_eq!(
        faults("[limits.message]\nrate = 0\n", &[]),
        ["qpc-server.toml:1:9: limits.message: rate and burst are at least 1"]
    );
}

#[test]
fn production_refuses_what_is_only_for_trying_out() {
    assert_eq!(
        faults("[server]\nproduction = true\nauth_token = \"short\"\n", &[("QPC_DB_KEY", "k")]),
        [
            "qpc-server.toml:2:1: server.domain: server.production = true needs a domain of its own, such as chat.example.org",
            "qpc-server.toml:2:1: server.certificate_file: server.production = true needs a certificate: name its file, or an authority in acme.directory",
            "qpc-server.toml:2:1: storage.key_file: server.production = true needs an explicit key file: name it",
            "qpc-server.toml:2:1: storage.key_file: server.production = true takes no key from QPC_DB_KEY: use a file or a credential",
            "qpc-server.toml:3:1: server.auth_token: server.production = true needs a token of at least 16 characters"
        ]
    );
    let good = "[server]\nproduction = true\ndomain = \"chat.example\"\ncertificate_file = \"c\"\n\
                certificate_key_file = \"k\"\nauth_token = \"0123456789abcdef\"\n[storage]\nkey_file = \"d\"\n";
    assert!(faults(good, &[]).is_empty());
}

#[test]
fn an_authority_is_asked_only_as_it_may_be() {
    let on = "[acme]\ndirectory = \"https://acme.example/directory\"\naccept_terms = true\n";
    let at = "[server]\ndomain = \"chat.example\"\n";
    let told = |server: &str, acme: &str| faults(&format!("{at}{server}{on}{acme}"), &[]);
    assert!(told("", "contact = \"admin@chat.example\"\nnames = [\"chat.example\", \"b.example\"]\n").is_empty());
    assert!(faults("[acme]\nnames = [\"*.example\"]\ncontact = \"x\"\n", &[]).is_empty(), "it is off");
    assert_eq!(
        faults("[acme]\ndirectory = \"http://acme.example\"\n", &[]),
        [
            "qpc-server.toml:2:1: acme.directory: not an https:// URL, such as https://acme-v02.api.letsencrypt.org/directory",
            "qpc-server.toml:2:1: acme.accept_terms: is false, and acme.directory is set: read the authority's terms, and set \
             it to true to agree to them",
        ]
    );
    assert_eq!(
        told("certificate_file = \"c\"\ncertificate_key_file = \"k\"\n", "contact = \"mailto:a@b.example\"\n"),
        [
            "qpc-server.toml:3:1: server.certificate_file: is set, and acme.directory as well: take certificate_file and \
             certificate_key_file out, or acme.directory",
            "qpc-server.toml:8:1: acme.contact: not a mail address, such as admin@example.org",
        ]
    );
    for (name, wrong) in
        [("*.chat.example", true), ("10.0.0.1", true), ("Chat.example", true), ("a b", true), ("b", false)]
    {
        let faults = told("", &format!("names = [{name:?}]\n"));
        assert_eq!(!faults.is_empty(), wrong, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.starts_with(&format!("qpc-server.toml:6:1: acme.names: {name}: "))));
    }
    assert!(told("", "names = [\"a.example\", \"a.example\"]\n")[0].ends_with("named twice: keep one of the two"));
    let many: Vec<String> = (0..26).map(|n| format!("\"{n}.example\"")).collect();
    assert!(told("", &format!("names = [{}]\n", many.join(", ")))[0].ends_with("acme.names: more than 25"));
    assert!(told("", "eab_key_id = \"me\"\n")[0].contains("acme.eab_key_id: eab_key_id and eab_key"));
    assert!(told("", "eab_key_id = \"me\"\neab_key = \"?\"\n")[0].contains("acme.eab_key: not base64"));
    assert!(told("", "eab_key_id = \"me\"\neab_key = \"c2VjcmV0\"\n").is_empty());
    let production =
        format!("{at}production = true\nauth_token = \"0123456789abcdef\"\n{on}[storage]\nkey_file = \"d\"\n");
    assert!(faults(&production, &[]).is_empty(), "it is a certificate as well");
}

#[test]
fn the_key_of_an_account_may_be_in_a_file_and_is_shown_to_nobody() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("key");
    fs::write(&file, "c2VjcmV0\n").unwrap();
    let text = format!("[acme]\neab_key_file = {:?}\n", file.display().to_string());
    let loaded = load(&text, &[]).unwrap();
    assert_eq!(loaded.config.acme.eab_key.as_ref().map(Secret::expose), Some("c2VjcmV0"));
    assert!(!loaded.config.show().unwrap().contains("c2VjcmV0"));
    let twice = load(&format!("{text}eab_key = \"x\"\n"), &[]).unwrap_err().to_string();
    assert!(twice.contains("acme.eab_key is set as well: take one of the two out"), "{twice}");
}

/// As the manual has it.
const FEDERATED: &str = r#"
[server]
domain = "node1.chat.example.com"
[federation]
enabled = true
domain = "node1.chat.example.com"
listen = "0.0.0.0:7001"
federation_cert = "data/federation-cert.der"
federation_key = "data/federation-key.der"
federation_ca = "data/federation-ca.der"
[[federation.peers]]
domain = "node2.chat.example.com"
address = "10.0.1.2:7001"
"#;

#[test]
fn federation_is_configured_as_the_manual_says() {
    let loaded = load(FEDERATED, &[("QPC_FEDERATION__DENY", "x.example, y.example")]).unwrap();
    assert!(loaded.check().is_empty());
    let federation = &loaded.config.federation;
    assert_eq!(federation.peers[0].max_in_flight, 64);
    assert_eq!(federation.deny, ["x.example", "y.example"]);
    let shown = loaded.config.show().unwrap();
    assert_eq!(load(&shown, &[]).unwrap().config, loaded.config);
}

#[test]
fn peers_can_be_set_from_the_environment() {
    let peers = "node3.chat.example.com = 10.0.1.3:7001, node4.chat.example.com=[2001:db8::4]:7001";
    let loaded = load(FEDERATED, &[("QPC_FEDERATION__PEERS", peers)]).unwrap();
    assert!(loaded.check().is_empty());
    let named: Vec<_> =
        loaded.config.federation.peers.iter().map(|peer| (peer.domain.as_str(), peer.address.as_str())).collect();
    let wanted = [("node3.chat.example.com", "10.0.1.3:7001"), ("node4.chat.example.com", "[2001:db8::4]:7001")];
    assert_eq!(named, wanted);
    assert_eq!(loaded.config.federation.peers[1].max_in_flight, 64);
    assert!(load(FEDERATED, &[("QPC_FEDERATION__PEERS", "")]).unwrap().config.federation.peers.is_empty());
    let alone = complaint(FEDERATED, &[("QPC_FEDERATION__PEERS", "node3.chat.example.com")]);
    assert!(alone.contains("QPC_FEDERATION__PEERS") && alone.contains("missing field `address`"), "{alone}");
    let bad = faults(FEDERATED, &[("QPC_FEDERATION__PEERS", "node3.chat.example.com=10.0.1.3")]);
    assert!(bad.len() == 1 && bad[0].contains("federation.peers"), "{bad:?}");
}

#[test]
fn what_is_wrong_with_peers_is_told_by_name() {
    let with = |peers: &str| faults(&format!("{FEDERATED}{peers}"), &[]);
    let peer = |domain: &str, rest: &str| format!("[[federation.peers]]\ndomain = \"{domain}\"\n{rest}\n");
    let good = "address = \"[::1]:7001\"";
    assert!(with(&peer("b.example", good)).is_empty());
    assert!(with(&peer("b.example", "address = \"b.example:7001\"\nmax_in_flight = 4096")).is_empty());
    for (peers, wrong) in [
        (peer("node1.chat.example.com", good), "node1.chat.example.com: this server's own domain: take it out"),
        (peer("node2.chat.example.com", good), "node2.chat.example.com: named twice: keep one of the two"),
        (peer("B.example", good), "B.example: not a host name in lower case"),
        (peer("*.example", good), "*.example: not a host name in lower case"),
        (
            peer("b.example", "address = \"b.example\""),
            "b.example: address \"b.example\" is not host:port, such as node2.chat.example.com:7001",
        ),
        (
            peer("b.example", "address = \"10.0.0.1:0\""),
            "b.example: address \"10.0.0.1:0\" is not host:port, such as node2.chat.example.com:7001",
        ),
        (peer("b.example", "address = \"b:1\"\nmax_in_flight = 0"), "b.example: max_in_flight is not from 1 to 4096"),
        (
            peer("b.example", "address = \"b:1\"\nmax_in_flight = 4097"),
            "b.example: max_in_flight is not from 1 to 4096",
        ),
    ] {
        let found = with(&peers);
        assert!(found.len() == 1 && found[0].ends_with(&format!("federation.peers: {wrong}")), "{found:?}");
    }
    let many: String = (0..256).map(|n| peer(&format!("n{n}.example"), good)).collect();
    assert!(with(&many)[0].ends_with("federation.peers: more than 256"));
    let denied = FEDERATED.replace("[[", "deny = [\"node2.chat.example.com\", \"Z.example\"]\n[[");
    let found = faults(&denied, &[]);
    assert!(
        found[0].ends_with(
            "federation.peers: node2.chat.example.com: also in federation.deny: take it out of one of the two"
        ),
        "{found:?}"
    );
    assert!(found[1].ends_with("federation.deny: Z.example: not a host name in lower case"), "{found:?}");
    let elsewhere = faults(&FEDERATED.replacen("node1", "node9", 1), &[]);
    assert!(elsewhere[0].contains("federation.domain: is node1.chat.example.com, but accounts"), "{elsewhere:?}");
    assert!(complaint(&FEDERATED.replace("address", "adress"), &[]).contains("adress"));
}
