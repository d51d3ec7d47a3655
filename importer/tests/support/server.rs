//! nginx and tinyproxy on free loopback ports, each in a temporary directory that lives as long as it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server that ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
}

impl Server {
    /// Starts nginx; `servers` makes the `server` blocks from a free port. Files are served from the directory's `www`.
    pub(crate) fn nginx(servers: impl Fn(u16) -> String) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("www")).unwrap();
        start(directory, |port, at| {
            let at = at.display();
            let text = format!(
                "daemon off; master_process off; user root; pid {at}/pid; error_log {at}/error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log {at}/access.log; default_type application/octet-stream; root {at}/www; \
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi; \
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n{}\n}}\n",
                servers(port)
            );
            let mut command = Command::new("nginx");
            command.arg("-e").arg(format!("{at}/error.log")).arg("-c").arg(write(format!("{at}/nginx.conf"), &text));
            command
        })
    }

    /// Starts tinyproxy; `login` is `user password` if it wants one.
    pub(crate) fn tinyproxy(login: Option<&str>) -> Self {
        start(TempDir::new().unwrap(), |port, at| {
            let login = login.map_or(String::new(), |login| format!("BasicAuth {login}\n"));
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogFile \"{}/log\"\nLogLevel Connect\n{login}",
                at.display()
            );
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(write(format!("{}/tinyproxy.conf", at.display()), &text));
            command
        })
    }

    /// Puts a file where nginx serves it and returns its address.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join("www").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.address(name)
    }

    pub(crate) fn address(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// What tinyproxy has logged so far: each request before it is answered.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Stops nginx and returns what it logged: one line for each request, some written only after the answer.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::QUIT).unwrap();
        self.child.wait().unwrap();
        std::fs::read_to_string(self.directory.path().join("access.log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn start(directory: TempDir, command: impl Fn(u16, &Path) -> Command) -> Server {
    // Another process may take the free port first; then the server does not come up and the next port is tried.
    for _ in 0..5 {
        let port = free_port();
        let mut command = command(port, directory.path());
        let program = command.get_program().display().to_string();
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("the tests need {program} (apt-get install nginx-light tinyproxy): {error}")
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) && child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Server { child, port, directory };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("the server does not come up; its files are in {}", directory.keep().display());
}

fn write(path: String, text: &str) -> String {
    std::fs::write(&path, text).unwrap();
    path
}
