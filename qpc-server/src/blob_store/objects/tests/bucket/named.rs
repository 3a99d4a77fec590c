//! The bucket that tests may use, where `QPC_TEST_S3` names one: `http://127.0.0.1:9000/bucket?access_key=..&secret_key=..`,
//! and `&region=..` where it is another than us-east-1. `make s3` starts something that speaks S3 and sets it. Two more are
//! there beside it, `bucket-backups` and `bucket-restored`, which a test empties.

/// What is known of it.
pub(crate) struct NamedBucket {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl NamedBucket {
    /// The one that the environment names. Says so where it names none.
    #[allow(clippy::print_stdout, reason = "for who reads what a test has done")]
    pub(crate) fn from_environment() -> Option<Self> {
        let Ok(text) = std::env::var("QPC_TEST_S3") else {
            println!("QPC_TEST_S3 is not set: no bucket was tried");
            return None;
        };
        Some(Self::parse(&text).expect("QPC_TEST_S3 is no URL of a bucket with access_key and secret_key"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (url, query) = text.split_once('?')?;
        let (endpoint, bucket) = url.rsplit_once('/')?;
        let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
        let value = |name: &str| pairs().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
        Some(Self {
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            region: value("region").unwrap_or_else(|| "us-east-1".into()),
            access_key: value("access_key")?,
            secret_key: value("secret_key")?,
        })
    }

    /// Is it reached without TLS?
    pub(crate) fn allow_http(&self) -> bool {
        self.endpoint.starts_with("http://")
    }
}
