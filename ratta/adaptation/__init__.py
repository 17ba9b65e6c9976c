"""Adaptation: drift, gate, budget, update and guard, and their composition in `adapter`.

What an integrator needs is here: settings for `ratta.load(adapt=...)`, and the device's power for `Engine.set_power`.
"""

from ratta.adaptation.budget import Allowance, PowerPolicy, PowerState, Thermal
from ratta.adaptation.event import Event
from ratta.adaptation.settings import Adaptation, Drift, Early

__all__ = ["Adaptation", "Allowance", "Drift", "Early", "Event", "PowerPolicy", "PowerState", "Thermal"]
