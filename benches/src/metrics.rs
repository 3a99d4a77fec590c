//! A server's own figures, read from its metrics page.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest wait for the page.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

/// One page of metrics.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// Reads the page at `host:port`.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn read(address: &str) -> anyhow::Result<Self> {
        let page =
            timeout(PAGE_WITHIN, get(address)).await.context("the server's metrics page does not come in time")?;
        page.with_context(|| format!("the server's metrics page at {address}"))
    }

    /// The value of a metric; one with labels is named with them, as the page has it.
    ///
    /// # Errors
    /// When the page lacks it.
    pub fn value(&self, name: &str) -> anyhow::Result<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).with_context(|| format!("no metric {name}"))
    }

    /// By how much a metric has grown since an earlier page.
    ///
    /// # Errors
    /// When either page lacks it.
    pub fn since(&self, earlier: &Self, name: &str) -> anyhow::Result<f64> {
        Ok(self.value(name)? - earlier.value(name)?)
    }
}

async fn get(address: &str) -> anyhow::Result<Metrics> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("the metrics page is not there: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(Metrics(answer))
}

#[cfg(test)]
impl Metrics {
    /// A page as it would be read.
    pub(crate) fn of(page: &str) -> Self {
        Self(page.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = Metrics::of("# TYPE a counter\na_count 5\na_count_more 7\nb{x=\"1\"} 2\n");
        assert!((page.value("a_count").unwrap() - 5.0).abs() < f64::EPSILON);
        assert!((page.value("b{x=\"1\"}").unwrap() - 2.0).abs() < f64::EPSILON);
        assert!(page.value("a").is_err() && page.value("b").is_err());
    }
}
