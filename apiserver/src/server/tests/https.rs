//! The real server on the loopback: certificates, bodies, readiness, its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

const NAME: &str = "cdi-apiserver.cdi.svc";

/// A server, its files, and the way to end it.
struct Bed {
    folder: tempfile::TempDir,
    certificate: Arc<Certificate>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<Result<(), rustls::Error>>,
}

/// A certificate and its key.
struct Pair {
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

impl Bed {
    async fn new(made: Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Arc::new(Certificate::new(&folder.path().join("tls.crt"), &folder.path().join("tls.key")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(Arc::new(App::new(made, Arc::clone(&certificate))));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(serve(listener, Arc::clone(&certificate) as _, router, stopped));
        Self { folder, certificate, address, stop, server }
    }

    /// With a certificate, and a client that trusts it.
    async fn with_certificate(made: Made) -> (Self, Client) {
        let (bed, pair) = (Self::new(made).await, pair());
        bed.write(&pair.cert, &pair.key);
        assert!(bed.certificate.load().unwrap());
        let client = bed.client(&pair);
        (bed, client)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, cert: &str, key: &str) {
        std::fs::write(self.file("tls.crt"), cert).unwrap();
        std::fs::write(self.file("tls.key"), key).unwrap();
    }

    fn client(&self, trusted: &Pair) -> Client {
        // An error says that there is a provider already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificate = reqwest::Certificate::from_pem(trusted.cert.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([certificate])
            .resolve(NAME, self.address)
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Client { client, base: format!("https://{NAME}:{}", self.address.port()) }
    }
}

#[derive(Clone)]
struct Client {
    client: reqwest::Client,
    base: String,
}

impl Client {
    async fn get(&self, path: &str) -> reqwest::Result<(StatusCode, String)> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await?;
        Ok((response.status(), response.text().await?))
    }

    async fn post(&self, path: &str, body: String) -> reqwest::Result<(StatusCode, String)> {
        let response = self.client.post(format!("{}{path}", self.base)).body(body).send().await?;
        Ok((response.status(), response.text().await?))
    }

    async fn judged(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post(path, review.to_string()).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["response"].clone()
    }
}

#[tokio::test]
async fn reviews_are_judged_over_https() {
    let (_bed, client) = Bed::with_certificate(Made::default()).await;
    let allowed = client.judged("/datavolume-validate", &review("CREATE", "DataVolume", Some(BLANK), None)).await;
    assert_eq!((&allowed["allowed"], &allowed["uid"]), (&json!(true), &json!("0c9a8d74")));
    let wrong = client.judged("/datavolume-validate", &review("CREATE", "DataVolume", Some(S3), None)).await;
    assert_eq!((&wrong["allowed"], &wrong["status"]["code"]), (&json!(false), &json!(422)));
    for webhook in Webhook::ALL {
        let (status, _) = client.get(webhook.path()).await.unwrap();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{webhook:?}");
    }
    assert_eq!(client.get("/none").await.unwrap().0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_body_that_is_no_review_is_a_bad_request_with_its_reason() {
    let (_bed, client) = Bed::with_certificate(Made::default()).await;
    let stray = review("CREATE", "DataSource", Some("{spec: {}}"), None).to_string();
    for (body, reason) in [
        (String::new(), "the body is not an AdmissionReview"),
        ("{\"kind\": 5}".to_owned(), "the body is not an AdmissionReview"),
        (stray, "/datavolume-validate does not judge CREATE of DataSource"),
    ] {
        let (status, told) = client.post("/datavolume-validate", body).await.unwrap();
        assert!(status == StatusCode::BAD_REQUEST && told.starts_with(reason), "{status} {told}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_3_mib_is_not_read() {
    let (_bed, client) = Bed::with_certificate(Made::default()).await;
    let padded = |length: usize| {
        let body = review("CREATE", "DataVolume", Some(BLANK), None).to_string();
        body.clone() + &" ".repeat(length - body.len())
    };
    let (status, _) = client.post("/datavolume-validate", padded(3 << 20)).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let (status, _) = client.post("/datavolume-validate", padded((3 << 20) + 1)).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_changed_certificate_is_shown_without_a_restart() {
    let bed = Bed::new(Made::default()).await;
    let (first, second) = (pair(), pair());
    bed.write(&first.cert, &first.key);
    assert!(bed.certificate.load().unwrap() && !bed.certificate.load().unwrap());
    assert!(bed.client(&first).get("/healthz").await.is_ok());
    assert!(bed.client(&second).get("/healthz").await.is_err());

    // Seen between the two writes: the former pair stays.
    bed.write(&second.cert, &first.key);
    assert!(
        bed.certificate.load().unwrap_err().to_string().starts_with("the certificate and its key do not go together")
    );
    assert!(bed.client(&first).get("/healthz").await.is_ok());

    bed.write(&second.cert, &second.key);
    assert!(bed.certificate.load().unwrap());
    assert!(bed.client(&second).get("/healthz").await.is_ok());
    assert!(bed.client(&first).get("/healthz").await.is_err());
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_named() {
    let bed = Bed::new(Made::default()).await;
    let told = || bed.certificate.load().unwrap_err().to_string();
    assert!(told().starts_with("could not read ") && told().contains("tls.crt"), "{}", told());
    let good = pair();
    for (cert, key, what) in [
        ("odd", good.key.as_str(), "tls.crt has no certificate in it"),
        (&good.cert, "odd", "tls.key is not PEM with a private key"),
        (
            "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
            &good.key,
            "tls.crt is not PEM with certificates",
        ),
    ] {
        bed.write(cert, key);
        assert!(told().contains(what), "{}", told());
    }
    assert!(!bed.certificate.is_loaded());
}

#[tokio::test]
async fn without_a_certificate_nobody_is_served_and_with_one_the_server_is_ready() {
    let (bed, pair) = (Bed::new(Made::default()).await, pair());
    let client = bed.client(&pair);
    assert!(client.get("/readyz").await.is_err());
    bed.write(&pair.cert, &pair.key);
    bed.certificate.load().unwrap();
    assert_eq!(client.get("/readyz").await.unwrap(), (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn the_certificate_is_waited_for() {
    let (bed, pair) = (Bed::new(Made::default()).await, pair());
    bed.write(&pair.cert, &pair.key);
    tokio::spawn(Arc::clone(&bed.certificate).follow());
    let client = bed.client(&pair);
    let mut tries = 0;
    while client.get("/healthz").await.is_err() {
        tries += 1;
        assert!(tries < 100, "never served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_caches_the_server_is_not_ready_but_lives() {
    let (_bed, client) = Bed::with_certificate(Made { not_ready: true, ..Made::default() }).await;
    let (status, told) = client.get("/readyz").await.unwrap();
    assert_eq!((status, told.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not ready: the caches are being filled\n"));
    assert_eq!(client.get("/healthz").await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn reviews_are_counted_by_path_and_verdict() {
    let (_bed, client) = Bed::with_certificate(Made::default()).await;
    for body in [BLANK, BLANK, S3] {
        client.judged("/datavolume-validate", &review("CREATE", "DataVolume", Some(body), None)).await;
    }
    client.post("/pvc-mutate", String::new()).await.unwrap();
    let (_, metrics) = client.get("/metrics").await.unwrap();
    for line in [
        "gantry_webhook_reviews_total{path=\"/datavolume-validate\",verdict=\"allowed\"} 2",
        "gantry_webhook_reviews_total{path=\"/datavolume-validate\",verdict=\"wrong\"} 1",
        "gantry_webhook_reviews_total{path=\"/pvc-mutate\",verdict=\"bad_request\"} 1",
        "gantry_webhook_review_duration_seconds_count{path=\"/datavolume-validate\"} 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn at_the_end_running_requests_are_finished_and_new_ones_are_not_taken() {
    let hold = Arc::new(Semaphore::new(0));
    let (bed, client) = Bed::with_certificate(Made { hold: Some(Arc::clone(&hold)), ..Made::default() }).await;
    let running = tokio::spawn({
        let client = client.clone();
        async move { client.judged("/datavolume-validate", &review("CREATE", "DataVolume", Some(BLANK), None)).await }
    });
    // Another connection stays open and idle: it does not keep the server.
    client.get("/healthz").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    bed.stop.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(tokio::net::TcpStream::connect(bed.address).await.is_err());
    assert!(!running.is_finished() && !bed.server.is_finished());
    hold.add_permits(1);
    assert_eq!(running.await.unwrap()["allowed"], json!(true));
    tokio::time::timeout(Duration::from_secs(5), bed.server).await.unwrap().unwrap().unwrap();
}
