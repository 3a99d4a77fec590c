//! Programs that chat: `chat --json` with objects both ways, and the examples that use it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::people::{Somebody, Town};

/// A program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name)
}

/// One of the examples, in somebody's home.
fn runs(somebody: &Somebody<'_>, name: &str, arguments: &[&str]) -> Command {
    let client = somebody.command(&[]);
    let mut command = Command::new("python3");
    command.arg(example(name)).args(arguments).arg("--program").arg(client.get_program()).stdin(Stdio::null());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn a_program_says_objects_and_is_answered_by_its_refs() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let mut chat = alice.command(&["chat", "--json"]);
    let mut chat = Running(chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(chat.0.stdout.take().unwrap()).lines();
    let mut typed = chat.0.stdin.take().unwrap();
    let mut answer = |object: Value| -> Value {
        writeln!(typed, "{object}").unwrap();
        loop {
            let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if said["ref"] == object["ref"] {
                return said;
            }
        }
    };
    let sent = answer(json!({"ref": 1, "command": "send", "to": "bob", "text": "from a program"}));
    assert_eq!(sent["result"], "queued");
    let flushed = answer(json!({"ref": "two", "command": "flush"}));
    assert_eq!((&flushed["result"], &flushed["waiting"]), (&"flushed".into(), &json!([])));
    let reacted = answer(json!({"ref": 3, "command": "react", "to": "bob", "message": sent["id"], "emoji": "👍"}));
    assert_eq!(reacted["result"], "queued");
    let wrong = answer(json!({"ref": 4, "command": "react", "to": "bob", "message": "last", "emoji": "thumb"}));
    assert!(wrong["error"] == "usage" && wrong["message"].as_str().unwrap().contains("no emoji"), "{wrong}");
    let none = answer(json!({"ref": 5, "command": "fly"}));
    assert!(none["error"] == "usage" && none["message"].as_str().unwrap().contains("no command"), "{none}");
    let history = answer(json!({"ref": 6, "command": "history", "to": "bob", "limit": 1}));
    assert_eq!(history["messages"][0]["body"], "from a program");
    drop(typed);
    assert_eq!(chat.0.wait().unwrap().code(), Some(0), "the end of its input is the end of the chat");
    assert_eq!(bob.hears(1)[0]["body"], "from a program");
}

#[test]
fn the_example_bot_answers_what_it_is_told_now_and_what_it_was_told_before() {
    let town = Town::found();
    let (alice, robot) = (town.newcomer("alice"), town.newcomer("robot"));
    alice.does(&["send", "robot", "!echo before you came"]);
    let mut heard = alice.follows();
    let _bot = Running(runs(&robot, "bot.py", &["--accept"]).stdout(Stdio::null()).spawn().unwrap());
    assert_eq!(heard.hears(1)[0]["body"], "before you came");
    alice.does(&["send", "robot", "how are you?"]);
    alice.does(&["send", "robot", "!roll 1"]);
    let rolled = heard.hears(1).remove(0);
    assert_eq!((&rolled["body"], &rolled["reply_to"]["body"]), (&"1 of 1".into(), &"!roll 1".into()));
    alice.does(&["group", "create", "players", "robot"]);
    alice.does(&["send", "players", "!echo to all"]);
    let said = heard.hears(1).remove(0);
    assert_eq!((&said["title"], &said["body"]), (&"players".into(), &"to all".into()));
}

/// Posts, and gives the status.
fn post(port: u16, secret: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST / HTTP/1.0\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_example_gateway_says_what_is_posted_and_posts_what_is_said() {
    let town = Town::found();
    let (alice, robot) = town.friends();
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let secret = "a secret of thirty-two bytes....";
    fs::write(town.path("secret"), secret).unwrap();
    let file = town.path("secret");
    let arguments =
        ["--to", "alice", "--secret-file", file.to_str().unwrap(), "--listen", "127.0.0.1:0", "--post", &url];
    let mut gateway = Running(runs(&robot, "webhook.py", &arguments).stdout(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(gateway.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let port = said.rsplit(':').next().unwrap().parse().unwrap();

    let mut heard = alice.follows();
    assert_eq!(post(port, secret, r#"{"text":"the build is green"}"#), 202);
    assert_eq!(heard.hears(1)[0]["body"], "the build is green");
    assert_eq!(post(port, "another secret", r#"{"text":"no"}"#), 401);
    assert_eq!(post(port, secret, r#"{"words":"no"}"#), 400);
    assert_eq!(post(port, secret, ""), 400);

    alice.does(&["send", "bob", "thanks"]);
    let (mut posted, _) = hook.accept().unwrap();
    posted.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let mut reader = BufReader::new(posted.try_clone().unwrap());
    let mut length = 0;
    for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    posted.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["sender"], &body["body"]), (&"alice@localhost".into(), &"thanks".into()));
}
