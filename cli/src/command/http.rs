//! From the HTTP arguments to the source's options: reads the files they name.

use std::fs;
use std::path::Path;

use contract::{Code, Failure};
use importer::source::http::{Authorities, Header, Options, ProxyChoice};
use importer::source::{Credentials, Secret, SourcePolicy};

use crate::arguments::Http;

/// The options that `arguments` stand for.
///
/// # Errors
/// A file that cannot be read, or a header that is none.
pub(crate) fn options(arguments: &Http) -> Result<Options, Failure> {
    let mut headers = arguments.headers.iter().map(|line| Header::parse(line)).collect::<Result<Vec<_>, _>>()?;
    for path in &arguments.secret_headers {
        headers.push(Header::parse_secret(read(path)?.trim_end_matches(['\r', '\n']))?);
    }
    let authorities =
        |path: &std::path::PathBuf| Ok(Authorities { name: path.display().to_string(), pem: read(path)?.into_bytes() });
    Ok(Options {
        credentials: credentials(arguments)?,
        headers,
        authorities: arguments.ca_certs.iter().map(authorities).collect::<Result<_, Failure>>()?,
        insecure: arguments.insecure,
        proxy: proxy(arguments)?,
        connect_timeout: arguments.connect_timeout,
        idle_timeout: arguments.idle_timeout,
        total_timeout: arguments.timeout,
        retry_budget: arguments.retry_for,
        policy: SourcePolicy::allow_all(),
        ..Options::default()
    })
}

fn credentials(arguments: &Http) -> Result<Option<Credentials>, Failure> {
    let Some(user) = &arguments.user else { return Ok(None) };
    let password = match &arguments.password_file {
        Some(path) => read(path)?.trim_end_matches(['\r', '\n']).to_owned(),
        None => arguments.password_from_environment.clone().unwrap_or_default(),
    };
    Ok(Some(Credentials { user: Secret::new(user), password: Secret::new(password) }))
}

fn proxy(arguments: &Http) -> Result<ProxyChoice, Failure> {
    Ok(match &arguments.proxy {
        None if arguments.no_proxy == "*" => ProxyChoice::Direct,
        None if !arguments.no_proxy.is_empty() => {
            let failure = Failure::new(Code::Usage, "--no-proxy with a list of hosts needs --proxy");
            return Err(failure.remedy("for the environment's proxy, set no_proxy in the environment"));
        }
        None => ProxyChoice::Environment,
        Some(proxy) => ProxyChoice::Fixed {
            http: Some(Secret::new(proxy)),
            https: Some(Secret::new(proxy)),
            exclude: arguments.no_proxy.clone(),
        },
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Code::Usage, format!("cannot read the file: {error}")).at(path.display().to_string())
    })
}
