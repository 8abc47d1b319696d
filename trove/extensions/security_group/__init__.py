"""Who may connect to an instance: its security group and the rules that its user adds."""
