"""The method on tensors alone: no task, no data set, no workflow.

Read in this order: ``decomposition`` (the shared basis of a category) -> ``basis`` (of a model, and on disk) ->
``extraction`` -> ``pattern`` and ``plan`` -> ``weights``, ``ways`` and ``linear`` (the adapted layer) -> ``heads`` and
``statistics`` (what else training changes) -> ``attach`` -> ``checkpoint``, ``merge`` -> ``interchange`` (with peft).
"""
