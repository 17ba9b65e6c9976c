"""Adaptation to a camera: drift, gate, budget, live anchors and guard, and their order in `controller`.

What an integrator needs is here: settings for `ratta.load(adapt=...)`, and the device's power for `Engine.set_power`.
"""

from ratta.adaptation.budget import Allowance, PowerPolicy, PowerState, Thermal
from ratta.adaptation.records import Event
from ratta.adaptation.settings import Adaptation

__all__ = ["Adaptation", "Allowance", "Event", "PowerPolicy", "PowerState", "Thermal"]
