package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// A deployment is what the tests read of deployment.yaml.
type deployment struct {
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int   `yaml:"terminationGracePeriodSeconds"`
				Links      *bool `yaml:"enableServiceLinks"`
				Containers []struct {
					Args      []string
					Env       []struct{ Name, Value string }
					Liveness  probe `yaml:"livenessProbe"`
					Readiness probe `yaml:"readinessProbe"`
					Ports     []struct {
						Name string
						Port int `yaml:"containerPort"`
					}
				}
			}
		}
	}
}

func read(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("deploy", name))
	require.NoError(t, err)
	if strings.HasSuffix(name, ".json") {
		require.NoError(t, json.Unmarshal(text, to))
		return
	}
	require.NoError(t, yaml.Unmarshal(text, to))
}

// The manifest's variables are flags of the program, with values that it takes; its probes are endpoints;
// and it gives a stop the time that it may need.
func TestTheManifestFitsTheProgram(t *testing.T) {
	var d deployment
	read(t, "deployment.yaml", &d)
	pod := d.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	require.NotNil(t, pod.Links, "variables of Kubernetes' own may have the prefix of the program's, and are no flags")
	require.False(t, *pod.Links)
	c := pod.Containers[0]
	var environ []string
	for _, v := range c.Env {
		environ = append(environ, v.Name+"="+v.Value)
	}
	s, err := parse(c.Args, environ, io.Discard)
	require.NoError(t, err)
	consumer, err := sluice.New(sqstest.New(), s.queueURL, s.options)
	require.NoError(t, err)
	require.Equal(t, "/livez", c.Liveness.HTTPGet.Path)
	require.Equal(t, "/readyz", c.Readiness.HTTPGet.Path)
	require.Equal(t, c.Ports[0].Name, c.Liveness.HTTPGet.Port)
	require.Equal(t, ":8081", s.listen)
	require.Equal(t, 8081, c.Ports[0].Port)

	const around = 2 * patience // the endpoints and the traces
	needed := consumer.Options().ShutdownTimeout + 3*time.Second + around
	require.GreaterOrEqual(t, time.Duration(pod.Grace)*time.Second, needed)
}

func TestThePoliciesAllowWhatTheProgramDoes(t *testing.T) {
	type policy struct {
		Version   string
		Statement []struct {
			Effect   string
			Action   any
			Resource string
		}
	}
	actions := func(name string) (all []string) {
		var p policy
		read(t, name, &p)
		require.Equal(t, "2012-10-17", p.Version)
		for _, s := range p.Statement {
			require.Equal(t, "Allow", s.Effect)
			require.True(t, strings.HasPrefix(s.Resource, "arn:aws:sqs:"))
			switch a := s.Action.(type) {
			case string:
				all = append(all, a)
			case []any:
				for _, one := range a {
					all = append(all, one.(string))
				}
			}
		}
		return all
	}
	for _, need := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage", "sqs:GetQueueAttributes"} {
		require.Contains(t, actions("iam-consumer.json"), need)
	}
	require.Equal(t, []string{"sqs:GetQueueAttributes"}, actions("iam-keda.json"))
	require.Contains(t, actions("iam-redrive.json"), "sqs:StartMessageMoveTask")
}

func TestTheScalerWatchesTheQueueOfTheManifest(t *testing.T) {
	var scaled struct {
		Spec struct {
			Target   struct{ Name string } `yaml:"scaleTargetRef"`
			Triggers []struct {
				Type     string
				Metadata map[string]string
			}
		}
	}
	read(t, "scaledobject.yaml", &scaled)
	var d struct{ Metadata struct{ Name string } }
	read(t, "deployment.yaml", &d)
	require.Equal(t, d.Metadata.Name, scaled.Spec.Target.Name)
	var full deployment
	read(t, "deployment.yaml", &full)
	for _, v := range full.Spec.Template.Spec.Containers[0].Env {
		if v.Name == "ORDERS_QUEUE_URL" {
			require.Equal(t, v.Value, scaled.Spec.Triggers[0].Metadata["queueURL"])
		}
	}
}

// Every metric that an alarm asks for is one that the worker has.
func TestAlarmsAskForMetricsThatExist(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	read(t, "alarms.yaml", &rules)
	require.NotEmpty(t, rules.Groups)
	w := start(t, nil)
	w.ready()
	_, metrics := w.get("metrics")
	require.Zero(t, w.stop())
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, word := range strings.FieldsFunc(rule.Expr, func(c rune) bool { return !(c == '_' || c >= 'a' && c <= 'z') }) {
				if strings.HasPrefix(word, "sluice_") {
					require.Contains(t, metrics, word, rule.Alert)
				}
			}
		}
	}
}
