import{a as e,H as r}from"./base-BiJl5cRU.js";function i(t){return e("div",{class:"page",children:e(r,{title:"Keys"})})}export{i as Keys};
