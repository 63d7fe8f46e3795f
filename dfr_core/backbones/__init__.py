"""The frozen networks: what can be counted about one (`architecture`), its maps (`vgg`), where its weights come from (`weights`)."""
