// Command storage runs upstream's specs of storage against a CSI driver, described in the file that -storage.testdriver names.
package main

import (
	"flag"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	_ "k8s.io/kubernetes/test/e2e/storage/external"
)

type outcome struct{ failed bool }

// Fail is what ginkgo calls when a spec has failed.
func (o *outcome) Fail() { o.failed = true }

func main() {
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()
	framework.AfterReadingAllFlags(&framework.TestContext)
	gomega.RegisterFailHandler(framework.Fail)
	var outcome outcome
	suite, reporter := framework.CreateGinkgoConfig()
	ginkgo.RunSpecs(&outcome, "storage", suite, reporter)
	if outcome.failed {
		os.Exit(1)
	}
}
