//! Finding messages by their words, and by who said them, where and when.
//!
//! The index is FTS5's, of this home alone: <https://sqlite.org/fts5.html>. Found are the newest first, in the order in which they
//! stand in the home, so that a page costs what it shows and not what it leaves out.

use rusqlite::{Transaction, named_params};

use super::{Local, StoreError, details, message, own_change, row};
use crate::api;

/// Words of one search, at most.
const WORDS_MAX: usize = 32;
/// Words around the one that was found.
const EXCERPT_WORDS: u32 = 16;
/// Around what was found in an excerpt: nothing that a message could show.
const MARKS: [char; 2] = ['\u{2}', '\u{3}'];

/// What to find. What is not said is no condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// As typed: see [`expression`].
    pub(crate) words: String,
    pub(crate) conversation: Option<Local>,
    /// name@domain.
    pub(crate) sender: Option<String>,
    /// Said at this time or later, milliseconds since 1970.
    pub(crate) since_ms: Option<u64>,
    /// Said before it.
    pub(crate) until_ms: Option<u64>,
    /// In the home before this message.
    pub(crate) before: Option<i64>,
    pub(crate) limit: u32,
}

/// Why nothing can be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("a search has at most {WORDS_MAX} words")]
    TooMany,
    #[error("there is no letter or digit in what is to be found")]
    NoWords,
}

/// Finds messages, newest first.
pub(crate) fn find(tx: &Transaction<'_>, query: &Query) -> Result<Result<Vec<api::Found>, QueryError>, StoreError> {
    let expression = match expression(&query.words) {
        Ok(expression) => expression,
        Err(error) => return Ok(Err(error)),
    };
    let (excerpt, index, matches) = match expression {
        Some(_) => (
            format!("snippet(message_index, 0, char(2), char(3), '…', {EXCERPT_WORDS})"),
            "JOIN message_index ON message_index.rowid = m.local",
            "message_index MATCH :words AND message_index.rowid < :before",
        ),
        None => ("NULL".to_owned(), "", ":words IS NULL AND m.local < :before"),
    };
    let sql = format!(
        "SELECT {}, {excerpt} AS excerpt, {} {index} \
         WHERE {matches} AND m.kind NOT IN ('notice', 'deleted') \
         AND (:conversation IS NULL OR m.conversation = :conversation) AND (:sender IS NULL OR m.sender = :sender) \
         AND m.time_ms >= :since AND m.time_ms < :until ORDER BY m.local DESC LIMIT :limit",
        details::COLUMNS,
        message::SHOWN
    );
    own_change::with_all(tx, |tx| {
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(named_params! {
            ":words": expression,
            ":before": query.before.unwrap_or(i64::MAX),
            ":conversation": query.conversation,
            ":sender": query.sender,
            ":since": row::signed(query.since_ms.unwrap_or(0)),
            ":until": query.until_ms.map_or(i64::MAX, row::signed),
            ":limit": query.limit,
        })?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let message = message::read(tx, row)?;
            let excerpt = row.get::<_, Option<String>>("excerpt")?.map(|marked| parts(&marked)).unwrap_or_default();
            all.push(api::Found { message, excerpt });
        }
        Ok(Ok(all))
    })
}

/// What was typed, as FTS5 reads it; `None` where nothing was.
///
/// Words are found where any word begins with them; what stands between quotes is found as it is, word by word. All of it has to be
/// there. Nothing that is typed is an operator.
fn expression(typed: &str) -> Result<Option<String>, QueryError> {
    let mut all: Vec<String> = Vec::new();
    for (nr, piece) in typed.split('"').enumerate() {
        let quoted = nr % 2 == 1;
        if quoted {
            if has_words(piece) {
                all.push(format!("\"{piece}\""));
            }
        } else {
            all.extend(piece.split_whitespace().filter(|word| has_words(word)).map(|word| format!("\"{word}\" *")));
        }
    }
    match all.len() {
        0 if typed.trim().is_empty() => Ok(None),
        0 => Err(QueryError::NoWords),
        WORDS_MAX.. if all.len() > WORDS_MAX => Err(QueryError::TooMany),
        _ => Ok(Some(all.join(" AND "))),
    }
}

/// Is there anything that the index knows words of?
fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// An excerpt, cut where what was found begins and ends.
fn parts(marked: &str) -> Vec<api::Part> {
    let mut all = Vec::new();
    let mut found = false;
    for piece in marked.split(MARKS) {
        if !piece.is_empty() {
            all.push(api::Part { text: piece.to_owned(), found });
        }
        found = !found;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{schema, testing::Home};

    impl Home {
        fn find(&mut self, query: Query) -> Vec<String> {
            let tx = self.database.transaction().unwrap();
            let query = Query { limit: if query.limit == 0 { 100 } else { query.limit }, ..query };
            let found = find(&tx, &query).unwrap().unwrap();
            found.into_iter().map(|found| found.message.body).collect()
        }

        fn words(&mut self, words: &str) -> Vec<String> {
            self.find(Query { words: words.to_owned(), ..Query::default() })
        }
    }

    #[test]
    fn words_are_found_by_their_beginnings_and_phrases_as_they_are() {
        let mut home = Home::new();
        let crew = home.conversation("crew");
        for (nr, text) in
            ["Dinner at eight", "what a nice dinghy", "at dinner we ate", "Crème brûlée"].iter().enumerate()
        {
            home.said(crew, "bob@a.example", u64::try_from(nr).unwrap() + 1, text);
        }
        assert_eq!(home.words("din"), ["at dinner we ate", "what a nice dinghy", "Dinner at eight"]);
        assert_eq!(home.words("DINNER"), ["at dinner we ate", "Dinner at eight"]);
        assert_eq!(home.words("dinner at"), ["at dinner we ate", "Dinner at eight"]);
        assert_eq!(home.words("\"dinner at\""), ["Dinner at eight"]);
        assert_eq!(home.words("\"din\""), Vec::<String>::new());
        assert_eq!(home.words("creme BRU"), ["Crème brûlée"]);
        assert_eq!(home.words("dinner nice"), Vec::<String>::new());
        // Whatever is typed is words.
        for typed in
            ["dinner OR nice", "NOT dinner", "body:dinner", "NEAR(dinner eight)", "dinner*^", "\"dinner", "din-"]
        {
            home.words(typed);
        }
        assert_eq!(home.words("din *"), home.words("din"));
        assert_eq!(home.words("at -"), home.words("at"));
    }

    #[test]
    fn who_said_it_where_and_when_are_conditions() {
        let mut home = Home::new();
        let (crew, other) = (home.conversation("crew"), home.conversation("other"));
        home.said(crew, "bob@a.example", 10, "one apple");
        home.said(other, "carol@a.example", 20, "two apples");
        let (last, _) = home.said(crew, "carol@a.example", 30, "three apples");
        let apples = || Query { words: "apple".to_owned(), ..Query::default() };
        assert_eq!(home.find(Query { conversation: Some(crew), ..apples() }), ["three apples", "one apple"]);
        let carol = Some("carol@a.example".to_owned());
        assert_eq!(home.find(Query { sender: carol.clone(), ..apples() }), ["three apples", "two apples"]);
        assert_eq!(home.find(Query { since_ms: Some(20), until_ms: Some(30), ..apples() }), ["two apples"]);
        assert_eq!(home.find(Query { before: Some(last), limit: 1, ..apples() }), ["two apples"]);
        assert_eq!(home.find(Query { sender: carol, conversation: Some(crew), ..Query::default() }), ["three apples"]);
    }

    #[test]
    fn the_index_follows_what_becomes_of_messages() {
        let mut home = Home::new();
        let crew = home.conversation("crew");
        let (first, _) = home.said(crew, "bob@a.example", 1, "a secret of Ellen's");
        let (second, _) = home.said(crew, "bob@a.example", 2, "nothing");
        home.database.execute("UPDATE message SET body = 'a mystery' WHERE local = ?1", [first]).unwrap();
        assert_eq!((home.words("secret").len(), home.words("mystery").len()), (0, 1));
        home.database.execute("UPDATE message SET local = -5 WHERE local = ?1", [second]).unwrap();
        assert_eq!(home.words("nothing"), ["nothing"]);
        home.database.execute("UPDATE message SET kind = 'deleted' WHERE local = ?1", [first]).unwrap();
        assert_eq!(home.words("mystery").len(), 0);
        home.database.execute("DELETE FROM message", []).unwrap();
        assert_eq!(home.words("nothing").len(), 0);
        // Nothing of it is left in the index's own tables.
        let mut blocks = home.database.prepare("SELECT block FROM message_index_data").unwrap();
        let blocks =
            blocks.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        for word in [&b"ellen"[..], b"ecret", b"myster", b"nothing"] {
            assert!(!blocks.iter().any(|block| block.windows(word.len()).any(|window| window == word)));
        }
    }

    #[test]
    fn messages_of_an_older_home_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = rusqlite::Connection::open(dir.path().join("client.db")).unwrap();
        schema::migrations().to_version(&mut connection, 24).unwrap();
        connection.execute("INSERT INTO conversation (kind, title, state) VALUES (2, 'crew', 3)", []).unwrap();
        let row = "INSERT INTO message (conversation, seq, id, sender, own, time_ms, kind, body, shown) \
                   VALUES (1, 1, x'00000000000070008000000000000001', 'bob@a.example', 0, 1, 'text', 'long ago', 1)";
        connection.execute(row, []).unwrap();
        schema::migrations().to_latest(&mut connection).unwrap();
        let tx = connection.transaction().unwrap();
        let query = Query { words: "ago".to_owned(), limit: 1, ..Query::default() };
        assert_eq!(find(&tx, &query).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn an_excerpt_says_what_was_found_in_it() {
        let mut home = Home::new();
        let crew = home.conversation("crew");
        home.said(
            crew,
            "bob@a.example",
            1,
            &format!("{} the needle here {}", "hay ".repeat(500), "straw ".repeat(500)),
        );
        let tx = home.database.transaction().unwrap();
        let query = Query { words: "need".to_owned(), limit: 1, ..Query::default() };
        let found = find(&tx, &query).unwrap().unwrap().remove(0);
        let hits: Vec<_> = found.excerpt.iter().filter(|part| part.found).map(|part| part.text.as_str()).collect();
        assert_eq!(hits, ["needle"]);
        assert!(found.excerpt.iter().map(|part| part.text.len()).sum::<usize>() < 200);
    }

    #[test]
    fn a_search_has_words_and_not_too_many() {
        assert_eq!(expression("  "), Ok(None));
        assert_eq!(expression("?! -"), Err(QueryError::NoWords));
        assert!(expression(&"a ".repeat(WORDS_MAX)).is_ok());
        assert_eq!(expression(&"a ".repeat(WORDS_MAX + 1)), Err(QueryError::TooMany));
        assert_eq!(expression("a \"b c\" d"), Ok(Some("\"a\" * AND \"b c\" AND \"d\" *".to_owned())));
    }
}
